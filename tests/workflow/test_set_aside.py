"""Twenty samples, five broken in five ways: fifteen in the corpus and five rows that say why; then one is mended.

And what no table shows: a host that is down, a job that is killed with its wrapper, a row that asks to be skipped.
"""

import csv
import dataclasses
import gzip
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pyarrow.compute as pc
import pysam
import pytest

from velocorpus.corpus.reader import Corpus
from velocorpus.simulate.kinetics import KineticsParameters
from velocorpus.simulate.presets import BAM, COUNTS, FASTQ, SamplePlan, preset
from velocorpus.simulate.products import write_reference, write_sample

ROOT = Path(__file__).parents[2]
# Fewer genes, cells and molecules than the tiny preset: what is held here is who is set aside, and when.
PLANS = [
    SamplePlan(name, "s", name, "linear", 25, product, "blood", "train")
    for name, product in (("a", FASTQ), ("b", FASTQ), ("c", FASTQ), ("tagged", BAM), ("counted", COUNTS))
]
SMALL = dataclasses.replace(
    preset("tiny"),
    samples=tuple(PLANS),
    n_genes=80,
    kinetics=KineticsParameters(molecules=(1400.0, 1800.0)),
    n_empty=40,
)
IMPORTED = [f"import_{number:02d}" for number in range(12)]
GOOD = [*IMPORTED, "bam_a", "kb_a", "starsolo_a"]
# What is broken: where the sample is set aside, and words of the reason.
BROKEN = {
    "kb_twin": ("duplicates", "starsolo_a"),
    "starsolo_cut": ("fetch", "cut short"),
    "kb_technical": ("chemistry", "no file holds listed barcodes, only cDNA"),
    "starsolo_foreign": ("chemistry", "but of no list"),
    "bam_untagged": ("count", "CB"),
}
REDUCE = {"number_genes", "close_corpus", "tell_status", "corpus"}
TABLES = {
    "references.tsv": "reference\torganism\tfasta\tgtf\n"
    "sim\thuman\tfiles/reference/genome.fa.gz\tfiles/reference/genes.gtf.gz\n",
    "training.yaml": "{}\n",
    "config.yaml": "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\ntraining: training.yaml\n"
    "cells: {min_counts: 100, min_gene_counts: 101}\ncorpus: {group_samples: 10}\nfetch: {retries: 0}\n",
}


SNAKEMAKE = ("snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", "--workflow-profile", "none")
SNAKEMAKE += ("--configfile", "config.yaml", "--cores", "2", "--scheduler", "greedy", "--keep-going")


def read_of(sample: str, number: int, lane: int = 1) -> str:
    """One of the two files of a lane of a simulated sample."""
    return f"files/{sample}/fastq/{sample}_S1_L00{lane}_R{number}_001.fastq.gz"


@pytest.fixture
def project(tmp_path):
    """The files of twenty samples, sound and broken, and the tables."""
    files = tmp_path / "files"
    write_reference(SMALL, files)
    for plan in PLANS:
        write_sample(SMALL, plan, files / plan.name)
    (files / "cut_R2.fastq.gz").write_bytes((tmp_path / read_of("c", 2)).read_bytes()[:-1000])
    shutil.copy(tmp_path / read_of("a", 2), files / "technical_R1.fastq.gz")
    # A library of another maker: as long as 10x's, but no barcode is on the list.
    with gzip.open(tmp_path / read_of("b", 1), "rt") as reads, gzip.open(files / "foreign_R1.fastq.gz", "wt") as other:
        other.writelines(line[:28][::-1] + "\n" if number % 4 == 1 else line for number, line in enumerate(reads))
    bam, cells = "files/tagged/bam/possorted_genome_bam.bam", "files/tagged/bam/barcodes.tsv"
    with pysam.AlignmentFile(tmp_path / bam) as tagged, pysam.AlignmentFile(files / "bare.bam", "wb", tagged) as bare:
        for read in tagged:
            read.set_tags([("NH", 1)])
            bare.write(read)
    units = {
        **dict.fromkeys(IMPORTED, ("", "", "files/counted/counts.h5ad")),
        "bam_a": ("", "", bam),
        "kb_a": (read_of("a", 1), read_of("a", 2), ""),
        "starsolo_a": (read_of("b", 1), read_of("b", 2), ""),
        # The other lane of the same library, deposited as a sample of its own.
        "kb_twin": (read_of("b", 1, lane=2), read_of("b", 2, lane=2), ""),
        "starsolo_cut": (read_of("c", 1), "files/cut_R2.fastq.gz", ""),
        # The archive kept the cDNA only.
        "kb_technical": ("files/technical_R1.fastq.gz", read_of("a", 2), ""),
        "starsolo_foreign": ("files/foreign_R1.fastq.gz", read_of("b", 2), ""),
        "bam_untagged": ("", "", "files/bare.bam"),
    }
    table = ["sample\tstudy\torganism\tquantifier\treference\tchemistry\twhitelist\tbarcodes"]
    for number, name in enumerate(units):
        maker = name.split("_")[0]
        whitelist = "files/whitelist.txt" if maker in ("kb", "starsolo") else ""
        row = (name, f"study_{number % 4}", "human", maker, "sim", "10xv3", whitelist, cells if maker == "bam" else "")
        table.append("\t".join(row))
    rows = ["sample\tunit\tread1\tread2\tpath", *("\t".join((name, "u", *one)) for name, one in units.items())]
    write_tables(tmp_path, "\n".join(table), "\n".join(rows))
    return tmp_path


def write_tables(folder: Path, samples: str, units: str) -> None:
    for name, text in {**TABLES, "samples.tsv": f"{samples}\n", "units.tsv": f"{units}\n"}.items():
        (folder / name).write_text(text)


@contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """Serve a folder's files."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@pytest.fixture(autouse=True)
def warmly(warm, monkeypatch):
    """Every command starts at once."""
    monkeypatch.setenv("PATH", warm)


def run(folder: Path, *command: str, code: int = 0) -> str:
    """A command of the folder `bin`, or of the search path."""
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def make_corpus(folder: Path) -> list[tuple[str, str]]:
    """Make the corpus; (rule, sample or "") of each job that ran."""
    said = run(folder, *SNAKEMAKE, "corpus")
    _, *blocks = re.split(r"^(?:local)?rule (\w+):\n", said, flags=re.MULTILINE)
    named = [re.search(r"wildcards: .*?sample=([^,\n]+)", text) for text in blocks[1::2]]
    return [(rule, found[1] if found else "") for rule, found in zip(blocks[::2], named, strict=True)]


def status(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "results/status.tsv").open() as table:
        return {row["sample"]: row for row in csv.DictReader(table, delimiter="\t")}


@pytest.mark.slow
def test_five_of_twenty_are_set_aside_each_with_its_reason_and_taken_in_when_mended(project):
    make_corpus(project)
    rows = status(project)
    assert list(rows) == [*GOOD, *BROKEN]
    assert {name for name, row in rows.items() if row["state"] == "ok"} == set(GOOD)
    for name, (stage, words) in BROKEN.items():
        assert (rows[name]["state"], rows[name]["stage"]) == ("refused", stage), rows[name]
        assert words in rows[name]["reason"], rows[name]
        outcome = json.loads((project / f"results/counts/{name}/outcome.json").read_text())
        assert outcome["reason"] == rows[name]["reason"]
    corpus = Corpus(project / "results/corpus")
    assert set(corpus.samples["sample"].to_pylist()) == set(GOOD)
    assert {name: row["reason"] for name, row in rows.items() if name in BROKEN} == corpus.manifest["missing"]
    cells = dict(zip(corpus.samples["sample"].to_pylist(), corpus.samples["cells"].to_pylist(), strict=True))
    assert {name: int(rows[name]["cells"]) for name in GOOD} == cells
    assert min(cells.values()) > 15
    assert all(float(row["seconds"]) > 0 for name, row in rows.items() if name in GOOD)

    shutil.copy(project / read_of("c", 2), project / "files/cut_R2.fastq.gz")
    jobs = make_corpus(project)
    beside = {(rule, sample) for rule, sample in jobs if sample not in ("", "starsolo_cut")}
    # Rows below are held against its reads, which came late.
    assert beside == {("check_duplicates", "kb_technical"), ("check_duplicates", "starsolo_foreign")}
    assert {rule for rule, sample in jobs if not sample} == REDUCE | {"shard_group"}
    assert [rule for rule, _ in jobs].count("shard_group") == 1
    rows = status(project)
    assert {name for name, row in rows.items() if row["state"] == "ok"} == {*GOOD, "starsolo_cut"}
    assert len(Corpus(project / "results/corpus").samples) == 16
    assert make_corpus(project) == []


# Kills itself where `velocorpus attempt` would run: a cluster ends a whole job so, and nobody is left to say why.
KILLED = """#!/bin/sh
case "$*" in *"--number 4 "*) ;; "attempt import"*"--sample killed "*) kill -9 $$ ;; esac
exec {velocorpus} "$@"
"""


@pytest.mark.slow
def test_what_no_table_shows_sets_aside_until_it_is_asked_again(tmp_path):
    """And doublet scores, which are asked for here and want more cells and genes, reach the shards."""
    plan = dataclasses.replace(SMALL.sample("counted"), n_cells=120)
    write_sample(dataclasses.replace(SMALL, n_genes=300), plan, tmp_path / "files")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    near, far = "files/counts.h5ad", f"http://127.0.0.1:{port}/counts.h5ad"
    units = {"near": near, "far": far, "killed": near, "left": near}
    skip = {"left": "no consent"}
    samples = "sample\tstudy\torganism\tquantifier\treference\tchemistry\tskip\n"
    samples += "\n".join(f"{name}\ts\thuman\timport\t\t\t{skip.get(name, '')}" for name in units)
    write_tables(tmp_path, samples, "\n".join(["sample\tunit\tpath", *(f"{n}\tu\t{p}" for n, p in units.items())]))
    (tmp_path / "config.yaml").write_text(TABLES["config.yaml"].replace("cells: {", "cells: {score_doublets: true, "))
    (tmp_path / "references.tsv").write_text("reference\torganism\tgtf\n")
    stand_in = tmp_path / "bin/velocorpus"
    stand_in.parent.mkdir()
    stand_in.write_text(KILLED.format(velocorpus=shutil.which("velocorpus")))
    stand_in.chmod(0o755)

    jobs = make_corpus(tmp_path)
    assert jobs.count(("fetch_file", "far")) == 3
    assert jobs.count(("import_counts", "killed")) == 4
    assert ("fetch_file", "left") not in jobs
    rows = status(tmp_path)
    assert {name: (row["state"], row["stage"]) for name, row in rows.items()} == {
        "near": ("ok", "import"),
        "far": ("failed", "fetch"),
        "killed": ("failed", "import"),
        "left": ("skipped", "skip"),
    }
    assert rows["left"]["reason"] == "no consent"
    assert rows["killed"]["reason"].startswith("ended from outside in each of 3 tries")
    assert Corpus(tmp_path / "results/corpus").samples["sample"].to_pylist() == ["near"]
    assert make_corpus(tmp_path) == []

    stand_in.unlink()
    (tmp_path / "samples.tsv").write_text(samples.replace("no consent", "") + "\n")
    with serving(tmp_path / "files", port):
        run(tmp_path, "velocorpus", "again")
        jobs = make_corpus(tmp_path)
    assert {sample for _, sample in jobs if sample} == {"far", "killed", "left"}
    cells = Corpus(tmp_path / "results/corpus").read(layers=()).obs
    assert set(cells["sample"].to_pylist()) == set(units)
    assert 0 < pc.min(cells["doublet_score"]).as_py() < pc.max(cells["doublet_score"]).as_py() < 1
    assert cells["doublet_score"].null_count == 0


@pytest.mark.slow
def test_a_run_that_ends_with_an_error_tells_how_far_each_sample_came(tmp_path):
    write_sample(SMALL, SMALL.sample("counted"), tmp_path / "files")
    (tmp_path / "files/empty.gtf").write_text("\n")
    samples = "sample\tstudy\torganism\tquantifier\treference\tchemistry"
    rows = "sample\tunit\tpath"
    for name, reference in (("sound", ""), ("waits", "broken")):
        samples += f"\n{name}\ts\thuman\timport\t{reference}\t"
        rows += f"\n{name}\tu\tfiles/counts.h5ad"
    write_tables(tmp_path, samples, rows)
    (tmp_path / "references.tsv").write_text("reference\torganism\tgtf\nbroken\thuman\tfiles/empty.gtf\n")
    run(tmp_path, *SNAKEMAKE, "counts", code=1)
    assert {name: row["state"] for name, row in status(tmp_path).items()} == {"sound": "ok", "waits": "pending"}
