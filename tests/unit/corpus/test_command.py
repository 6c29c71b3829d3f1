import subprocess
import sys

import anndata as ad
import pytest
from corpus_makers import make_counts, run

from velocorpus.corpus import Corpus
from velocorpus.outcomes.outcome import write_outcome


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Two samples with counts, one refused, and their table."""
    folder = tmp_path_factory.mktemp("project")
    for sample in "ab":
        make_counts(folder, sample, seed=ord(sample))
    write_outcome(folder / "x" / "outcome.json", sample="x", state="refused", reason="No CB tags.")
    (folder / "samples.tsv").write_text(
        "sample\tstudy\torganism\ttissue\n" + "".join(f"{s}\tstudy_{s}\thuman\tblood\n" for s in "abx")
    )
    return folder


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_jobs_of_the_workflow_and_the_one_command_give_the_same_files(project, tmp_path):
    inputs = {s: project / s / ("outcome.json" if s == "x" else "counts.h5ad") for s in "abx"}
    table, held_out = ("--samples", project / "samples.tsv"), ("--validation-study", "study_b")
    whole = tmp_path / "whole"
    said = run("build", *inputs.values(), "--out", whole, *table, *held_out, "--min-counts", 1, "--group-samples", 2)
    assert "x: refused, left out: No CB tags." in said
    totals = {s: tmp_path / f"{s}.totals.feather" for s in inputs}
    for sample, path in inputs.items():
        run("totals", path, "--out", totals[sample], "--min-counts", 1)
    vocab = tmp_path / "vocab.feather"
    run("vocab", *totals.values(), "--out", vocab, *table)
    jobs = tmp_path / "jobs"
    for group, members in {"g00001": "x", "g00000": "ab"}.items():
        paths = [inputs[s] for s in members]
        shards = ("--out-dir", jobs / "shards", "--group", group, "--vocab", vocab)
        run("shard", *paths, *shards, *table, *held_out, "--min-counts", 1)
    options = [x for path in (jobs / "shards").iterdir() for x in ("--shards", path)]
    options += [x for path in totals.values() for x in ("--totals", path)]
    run("manifest", *options, "--vocab", vocab, "--out", jobs, *table, *held_out)
    assert files_of(jobs) == files_of(whole)
    assert "is whole" in run("verify", jobs)
    assert Corpus(jobs).samples["tissue"].to_pylist() == ["blood", "blood"]


def test_a_corpus_is_built_grown_described_and_exported(project, tmp_path):
    folder = tmp_path / "c"
    run("build", project / "a" / "counts.h5ad", "--out", folder, "--min-counts", 1, "--min-gene-counts", 1)
    run("add", folder, project / "b" / "counts.h5ad")
    said = run("info", folder, "--json", tmp_path / "info.json")
    assert "study_b" in said
    assert "bits per nonzero" in said
    run("export", folder, "--out", tmp_path / "x.h5ad", "--study", "study_b")
    assert ad.read_h5ad(tmp_path / "x.h5ad").obs["sample"].unique().tolist() == ["b"]


def test_mistakes_are_said_and_leave_nothing_behind(project, tmp_path):
    assert "does not exist" in run("build", tmp_path / "no.h5ad", "--out", tmp_path / "c", code=2)
    assert "set aside" in run("build", project / "x" / "outcome.json", "--out", tmp_path / "c", code=2)
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "velocorpus.cli.main", "corpus", "verify", str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "does not exist" in done.stderr
