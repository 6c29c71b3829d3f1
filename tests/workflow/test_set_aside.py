"""Twenty samples, five broken in five ways: fifteen in the corpus and five rows that say why; then two are mended."""

import csv
import gzip
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pysam
import pytest

from velocorpus.corpus.reader import Corpus
from velocorpus.simulate.presets import preset
from velocorpus.simulate.products import write_reference, write_sample

ROOT = Path(__file__).parents[2]
TINY = preset("tiny")
IMPORTED = [f"import_{number:02d}" for number in range(10)]
GOOD = [*IMPORTED, "bam_a", "bam_b", "bam_c", "kb_a", "starsolo_a"]
# What is broken: where the sample is set aside, and words of the reason.
BROKEN = {
    "kb_cut": ("fetch", "cut short"),
    "starsolo_swapped": ("fetch", "read 1 and read 2 are swapped"),
    "kb_chemistry": ("fetch", "28 bases of barcode and UMI, but its reads have 26"),
    "bam_404": ("fetch", "404"),
    "bam_untagged": ("count", "CB"),
}
READS = {(lane, n): f"files/sim_a_d1/fastq/sim_a_d1_S1_L00{lane}_R{n}_001.fastq.gz" for lane in (1, 2) for n in (1, 2)}
REDUCE = {"number_genes", "close_corpus", "tell_status", "corpus"}


@contextmanager
def serving(folder: Path, port: int = 0) -> Iterator[int]:
    """Serve a folder's files; yields the port."""
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def project(tmp_path):
    """Twenty samples, and a server that lacks the BAM of one of them."""
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as port:
        yield twenty_samples(tmp_path, port)


def twenty_samples(folder: Path, port: int) -> Path:
    """The files of all samples, sound and broken, but for a BAM that the server lacks, and the tables."""
    files = folder / "files"
    write_reference(TINY, files)
    for name in ("sim_a_d1", "sim_b_d1", "sim_01_d1"):
        write_sample(TINY, TINY.sample(name), files / name)
    bam, cells = "files/sim_b_d1/bam/possorted_genome_bam.bam", "files/sim_b_d1/bam/barcodes.tsv"
    (files / "cut_R2.fastq.gz").write_bytes((folder / READS[1, 2]).read_bytes()[:-1000])
    with gzip.open(folder / READS[1, 1], "rt") as whole, gzip.open(files / "v2_R1.fastq.gz", "wt") as shorter:
        shorter.writelines(line[:26] + "\n" if number % 2 else line for number, line in enumerate(whole))
    with pysam.AlignmentFile(folder / bam) as tagged, pysam.AlignmentFile(files / "bare.bam", "wb", tagged) as bare:
        for read in tagged:
            read.set_tags([("NH", 1)])
            bare.write(read)
    units = {
        **dict.fromkeys(IMPORTED, ("", "", "files/sim_01_d1/counts.h5ad")),
        **dict.fromkeys(("bam_a", "bam_b", "bam_c"), ("", "", bam)),
        "kb_a": (READS[1, 1], READS[1, 2], ""),
        "starsolo_a": (READS[2, 1], READS[2, 2], ""),
        "kb_cut": (READS[1, 1], "files/cut_R2.fastq.gz", ""),
        "starsolo_swapped": (READS[2, 2], READS[2, 1], ""),
        "kb_chemistry": ("files/v2_R1.fastq.gz", READS[1, 2], ""),
        "bam_404": ("", "", f"http://127.0.0.1:{port}/late.bam"),
        "bam_untagged": ("", "", "files/bare.bam"),
    }
    table = ["sample\tstudy\torganism\tquantifier\treference\tchemistry\twhitelist\tbarcodes"]
    for number, name in enumerate(units):
        quantifier = name.split("_")[0]
        listed = "files/whitelist.txt" if quantifier in ("kb", "starsolo") else ""
        row = (
            name,
            f"study_{number % 4}",
            "human",
            quantifier,
            "sim",
            "10xv3",
            listed,
            cells if quantifier == "bam" else "",
        )
        table.append("\t".join(row))
    (folder / "samples.tsv").write_text("\n".join(table) + "\n")
    rows = ["sample\tunit\tread1\tread2\tpath", *("\t".join((name, "u", *one)) for name, one in units.items())]
    (folder / "units.tsv").write_text("\n".join(rows) + "\n")
    (folder / "references.tsv").write_text(
        "reference\torganism\tfasta\tgtf\nsim\thuman\tfiles/reference/genome.fa.gz\tfiles/reference/genes.gtf.gz\n"
    )
    shutil.copy(ROOT / "config/examples/tiny/training.yaml", folder / "training.yaml")
    (folder / "config.yaml").write_text(
        "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\ntraining: training.yaml\n"
        "cells: {min_counts: 100, min_gene_counts: 101}\ncorpus: {group_samples: 5}\nreads_qc: {enabled: false}\n"
    )
    return folder


def run(folder: Path, *command: str) -> str:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def make_corpus(folder: Path) -> list[tuple[str, str]]:
    """Make the corpus; (rule, sample or "") of each job that ran."""
    snakemake = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", "--workflow-profile", "none"]
    said = run(folder, *snakemake, "--cores", "2", "corpus", "--configfile", "config.yaml")
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
        assert (
            json.loads((project / f"results/counts/{name}/outcome.json").read_text())["reason"] == rows[name]["reason"]
        )
    corpus = Corpus(project / "results/corpus")
    assert set(corpus.samples["sample"].to_pylist()) == set(GOOD)
    assert {name: row["reason"] for name, row in rows.items() if name in BROKEN} == corpus.manifest["missing"]
    cells = dict(zip(corpus.samples["sample"].to_pylist(), corpus.samples["cells"].to_pylist(), strict=True))
    assert {name: int(rows[name]["cells"]) for name in GOOD} == cells
    assert min(cells.values()) > 30
    assert all(float(row["cpu_seconds"]) > 0 for name, row in rows.items() if name in GOOD)
    assert make_corpus(project) == []

    # A file that is mended is seen; that a host has a file after all is not, and has to be said.
    shutil.copy(project / READS[1, 2], project / "files/cut_R2.fastq.gz")
    shutil.copy(project / "files/sim_b_d1/bam/possorted_genome_bam.bam", project / "served/late.bam")
    run(project, "velocorpus", "again", "bam_404")
    jobs = make_corpus(project)
    assert {sample for _, sample in jobs if sample} == {"kb_cut", "bam_404"}
    assert {rule for rule, sample in jobs if not sample} == REDUCE | {"shard_group"}
    # Both are in the last group of five.
    assert [rule for rule, _ in jobs].count("shard_group") == 1
    rows = status(project)
    assert {name for name, row in rows.items() if row["state"] == "ok"} == {*GOOD, "kb_cut", "bam_404"}
    assert len(Corpus(project / "results/corpus").samples) == 17
    assert make_corpus(project) == []


@pytest.mark.slow
def test_a_host_that_is_down_stops_one_sample_until_it_is_asked_again(tmp_path):
    write_sample(TINY, TINY.sample("sim_01_d1"), tmp_path / "files")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "samples.tsv").write_text(
        "sample\tstudy\torganism\tquantifier\treference\tchemistry\tskip\n"
        "near\ts\thuman\timport\t\t\t\nfar\ts\thuman\timport\t\t\t\nleft\ts\thuman\timport\t\t\tno consent\n"
    )
    far = f"http://127.0.0.1:{port}/counts.h5ad"
    (tmp_path / "units.tsv").write_text(
        f"sample\tunit\tpath\nnear\tu\tfiles/counts.h5ad\nfar\tu\t{far}\nleft\tu\t{far}\n"
    )
    (tmp_path / "references.tsv").write_text("reference\torganism\tgtf\n")
    (tmp_path / "training.yaml").write_text("{}\n")
    (tmp_path / "config.yaml").write_text(
        "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\ntraining: training.yaml\n"
        "cells: {min_counts: 100, min_gene_counts: 101}\nfetch: {retries: 0}\n"
    )

    jobs = make_corpus(tmp_path)
    assert jobs.count(("fetch_file", "far")) == 3
    assert ("fetch_file", "left") not in jobs
    rows = status(tmp_path)
    assert {name: (row["state"], row["stage"]) for name, row in rows.items()} == {
        "near": ("ok", "import"),
        "far": ("failed", "fetch"),
        "left": ("skipped", "skip"),
    }
    assert rows["left"]["reason"] == "no consent"
    assert Corpus(tmp_path / "results/corpus").samples["sample"].to_pylist() == ["near"]
    assert make_corpus(tmp_path) == []

    with serving(tmp_path / "files", port):
        run(tmp_path, "velocorpus", "again")
        jobs = make_corpus(tmp_path)
    assert {sample for _, sample in jobs if sample} == {"far"}
    assert Corpus(tmp_path / "results/corpus").samples["sample"].to_pylist() == ["far", "near"]
