"""The workflow fetches both reads of a run of SRA by one job, and how to fetch may change without fetching again."""

import gzip
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tests.drills import misbehaving as bad
from tests.drills.sra_tools import archive, install

ROOT = Path(__file__).parents[2]
READ = "results/pairs/sim_a_d1/L001_R1.fastq.gz"


@pytest.fixture
def site():
    site = bad.Site()
    yield site
    site.close()


def snakemake(folder, *words):
    path = os.pathsep.join((str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
    common = [
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--profile",
        "none",
        "--configfile",
        "config.yaml",
        "--cores",
        "1",
    ]
    done = subprocess.run(
        ["snakemake", *common, *words], cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_of_sra_is_fetched_once_whatever_the_configuration_says_of_fetching(site, tmp_path):
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
