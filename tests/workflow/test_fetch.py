"""The workflow fetches what the tables name: no more at once than allowed, and not again for another way to fetch."""

import gzip
import hashlib
import json
import os
import random
import subprocess
from pathlib import Path

import pytest
from tests.drills import misbehaving as bad
from tests.drills.sra_tools import archive, install

from velocorpus.simulate.presets import preset
from velocorpus.simulate.products import write_sample

TINY = preset("tiny")
ROOT = Path(__file__).parents[2]
READ = "results/pairs/sim_a_d1/L001_R1.fastq.gz"


@pytest.fixture
def site():
    site = bad.Site()
    yield site
    site.close()


def snakemake(folder, *words):
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    common = [
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--profile",
        "none",
        "--configfile",
        "config.yaml",
        "--cores",
        "4",
    ]
    done = subprocess.run(
        ["snakemake", *common, *words], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_of_sra_is_fetched_once_whatever_the_configuration_says_of_fetching(site, tmp_path, warm, monkeypatch):
    monkeypatch.setenv("PATH", warm)
    for source in (ROOT / "config/examples/tiny").iterdir():
        (tmp_path / source.name).write_bytes(source.read_bytes())
    install(tmp_path / "bin")
    units, config = tmp_path / "units.tsv", tmp_path / "config.yaml"
    lines = units.read_text().splitlines()
    lane = next(line for line in lines if line.startswith("sim_a_d1\tL001\t"))
    units.write_text("\n".join(lines).replace(lane, "sim_a_d1\tL001\tsra:SRR1234567\tsra:SRR1234567\t") + "\n")
    fetch = f"\nfetch:\n  mirrors:\n    - ['s3://sra-pub-run-odp/', '{site.address}/']\n"
    config.write_text(config.read_text() + fetch)
    rng = random.Random(0)
    cdna, barcodes = (["".join(rng.choices("ACGT", k=length)) for _ in range(20)] for length in (90, 28))
    site.keep("sra/SRR1234567/SRR1234567", archive(cdna, barcodes))

    snakemake(tmp_path, READ)
    assert gzip.decompress((tmp_path / READ).read_bytes()).decode().splitlines()[1::4] == barcodes
    config.write_text(config.read_text() + "  retries: 9\n")
    assert "Nothing to be done" in snakemake(tmp_path, READ, "--dry-run")


@pytest.mark.slow
def test_counts_that_their_host_packed_are_imported_and_no_more_files_come_at_once_than_allowed(site, tmp_path):
    (tmp_path / "training.yaml").write_text("{}\n")
    write_sample(TINY, TINY.sample("sim_01_d1"), tmp_path / "files")
    content = gzip.compress((tmp_path / "files/counts.h5ad").read_bytes())
    names = [f"s{number}" for number in range(3)]
    samples = [
        "sample\tstudy\torganism\tquantifier\treference\tchemistry",
        *(f"{n}\ts\thuman\timport\t\t" for n in names),
    ]
    md5 = hashlib.md5(content).hexdigest()
    units = [f"{n}\tu\t{site.keep(f'{n}.h5ad.gz', content)}\t{md5}\t{len(content)}" for n in names]
    (tmp_path / "samples.tsv").write_text("\n".join(samples) + "\n")
    (tmp_path / "units.tsv").write_text("\n".join(["sample\tunit\tpath\tpath_md5\tpath_bytes", *units]) + "\n")
    (tmp_path / "references.tsv").write_text("reference\torganism\tgtf\n")
    (tmp_path / "config.yaml").write_text(
        "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\n"
        "training: training.yaml\nfetch: {parallel: 1}\n"
    )
    # Each file takes some seconds, so that without the bound all would come at once.
    site.slow_s = 1.5
    targets = [f"results/reads/{name}/u.h5ad" for name in names]
    snakemake(tmp_path, "results/counts/s0/outcome.json", *targets, "--resources", "downloads=1")
    assert json.loads((tmp_path / "results/counts/s0/outcome.json").read_text())["state"] == "ok"
    assert site.most_open == 1
    for target in targets:
        assert (tmp_path / target).read_bytes() == (tmp_path / "files/counts.h5ad").read_bytes()
