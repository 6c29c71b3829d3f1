"""A library that the table has twice is set aside before it is aligned, and comes in when the first is left out."""

import gzip
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.simulate.libraries import make_library, two_species
from velocorpus.simulate.presets import preset
from velocorpus.simulate.products import write_reference

ROOT = Path(__file__).parents[2]
# In place of kb, whose figures matter nothing here: it makes what it would make.
KB = """#!/bin/bash
while [ $# -gt 0 ]; do case $1 in -i|-g|-c1|-c2|-f1|-f2) touch "$2";; -o) o="$2";; esac; shift; done
[ -d "$o" ] || exit 0
mkdir -p "$o/counts_unfiltered"
touch "$o"/counts_unfiltered/cells_x_genes.{mature,nascent,ambiguous}.mtx "$o"/{kb_info,run_info}.json
touch "$o"/counts_unfiltered/cells_x_genes.{genes,barcodes}.txt
"""
CONFIG = (
    "samples: samples.tsv\nunits: units.tsv\nreferences: references.tsv\ntraining: training.yaml\n"
    "reads_qc: {min_mapped: 0}\n"
)


@pytest.fixture(autouse=True)
def warmly(warm, monkeypatch):
    """Every command starts at once."""
    monkeypatch.setenv("PATH", warm)


@pytest.fixture
def project(tmp_path):
    """FASTQs of two libraries, `one_` and `two_`, their list, a reference, and a kb that does nothing."""
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 4**16, 5000, np.uint64))
    human, _ = two_species(rng, n_genes=40)
    for name in ("one_", "two_"):
        lists = {"10xv3": BarcodeList("10xv3", 16, codes)}
        files = make_library("10xv3", 2000, species=human, lists=lists, error=0.01, rng=rng)
        for number, role in ((1, "barcode"), (2, "cdna")):
            reads = ["".join("ACGT"[base] for base in row) for row in files[role]]
            text = "".join(f"@r{i}\n{read}\n+\n{'F' * len(read)}\n" for i, read in enumerate(reads))
            (tmp_path / f"{name}{number}.fastq.gz").write_bytes(gzip.compress(text.encode()))
    digits = (codes[:, None] >> np.arange(30, -2, -2, dtype=np.uint64)) & np.uint64(3)
    (tmp_path / "list.txt").write_text("".join("".join("ACGT"[int(d)] for d in row) + "\n" for row in digits))
    write_reference(preset("tiny"), tmp_path / "files")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kb").write_text(KB)
    (tmp_path / "bin/kb").chmod(0o755)
    shutil.copy(ROOT / "config/examples/tiny/training.yaml", tmp_path / "training.yaml")
    (tmp_path / "references.tsv").write_text(
        "reference\torganism\tfasta\tgtf\nsim\thuman\tfiles/reference/genome.fa.gz\tfiles/reference/genes.gtf.gz\n"
    )
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def write_tables(folder: Path, rows: dict[str, str], skip: str = "") -> None:
    """Tables of samples (name → what the names of its FASTQs begin with)."""
    table = ["sample\tstudy\torganism\tquantifier\treference\tchemistry\twhitelist\tskip"]
    table += [f"{x}\ts_{x}\thuman\tkb\tsim\t10xv3\tlist.txt\t{'for now' if x == skip else ''}" for x in rows]
    units = ["sample\tunit\tread1\tread2", *(f"{x}\tu\t{of}1.fastq.gz\t{of}2.fastq.gz" for x, of in rows.items())]
    (folder / "samples.tsv").write_text("\n".join(table) + "\n")
    (folder / "units.tsv").write_text("\n".join(units) + "\n")


def snakemake(folder: Path, *arguments: str) -> str:
    """What Snakemake says."""
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    command = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", "--workflow-profile", "none"]
    done = subprocess.run(
        [*command, "--cores", "2", "--configfile", "config.yaml", *arguments],
        cwd=folder,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def run(folder: Path, rows: dict[str, str], *arguments: str, skip: str = "") -> set[tuple[str, str]]:
    """Make what decides on the samples of these tables; (rule, sample) of each job."""
    write_tables(folder, rows, skip)
    wanted = [*(f"results/kb/{x}/kb_info.json" for x in rows if x != skip), "results/counts/b/outcome.json"]
    _, *blocks = re.split(r"^(?:local)?rule (\w+):\n", snakemake(folder, *arguments, "--", *wanted), flags=re.MULTILINE)
    named = [re.search(r"wildcards: .*?sample=([^,\n]+)", text) for text in blocks[1::2]]
    return {(rule, found[1]) for rule, found in zip(blocks[::2], named, strict=True) if found}


@pytest.mark.slow
def test_the_second_row_of_a_library_is_set_aside_and_what_is_counted_stays(project):
    jobs = run(project, {"a": "one_", "b": "one_"})
    outcome = json.loads((project / "results/counts/b/outcome.json").read_text())
    assert (outcome["state"], outcome["stage"]) == ("refused", "duplicates")
    assert "b shares 100% of its molecules with a (10% are allowed)" in outcome["reason"]
    assert (project / "results/kb/a/kb_info.json").read_text() == ""
    assert ("check_chemistry", "a") in jobs

    # A row below touches nothing that is there.
    plan = run(project, {"a": "one_", "b": "one_", "c": "two_"}, "--dry-run")
    assert {sample for _, sample in plan} == {"c"}
    # What is counted stays whatever comes above it; what was set aside is asked again.
    again = {"check_duplicates", "quantify_kb", "import_counts"}
    plan = run(project, {"c": "two_", "a": "one_", "b": "one_"}, "--dry-run")
    assert {rule for rule, sample in plan if sample == "a"} == {"check_duplicates"}
    assert {rule for rule, sample in plan if sample == "b"} == again
    # When the first of the two is left out, it comes as far as the stand-in of kb allows.
    run(project, {"a": "one_", "b": "one_"}, skip="a")
    assert json.loads((project / "results/counts/b/outcome.json").read_text())["stage"] == "import"


def test_rows_far_above_are_compared_by_blocks(tmp_path):
    rows = [f"s{number:02d}" for number in range(18)]
    for file in ("1.fastq.gz", "2.fastq.gz", "list.txt", "genome.fa", "genes.gtf"):
        (tmp_path / file).touch()
    shutil.copy(ROOT / "config/examples/tiny/training.yaml", tmp_path / "training.yaml")
    (tmp_path / "references.tsv").write_text("reference\torganism\tfasta\tgtf\nsim\thuman\tgenome.fa\tgenes.gtf\n")
    (tmp_path / "config.yaml").write_text(CONFIG)
    write_tables(tmp_path, dict.fromkeys(rows, ""))
    planned = snakemake(tmp_path, "--dry-run", "results/understood/s17/duplicates.json")
    (joined,) = re.findall(r"rule join_sketches:\n +input: (.*)\n", planned)
    assert joined.split(", ") == [f"results/understood/{name}/sketch.npz" for name in rows[:16]]
    (compared,) = re.findall(r"rule check_duplicates:\n +input: (.*)\n", planned)
    assert compared.split(", ") == [
        "results/understood/s17/sketch.npz",
        "results/understood/sketches/16/0.npz",
        "results/understood/s16/sketch.npz",
    ]
