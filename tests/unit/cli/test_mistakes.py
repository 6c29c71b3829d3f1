"""Every command met with a user's mistakes: one sentence, exit code 2, nothing half-written."""

import errno
import gzip
import os
import resource

import anndata as ad
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather

# A command with good inputs of the folder `project`; `{out}` is where it writes.
GOOD = {
    "check": "check --config config.yaml",
    "fetch": "fetch reads.fastq --out {out}",
    "whitelist": "whitelist 10xv3 --given whitelist.txt --out {out}",
    "reference": "reference --gtf genes.gtf --fasta genome.fa --out {out}",
    "cells": "cells --bam reads.bam --min-umis 1 --out {out}",
    "count": "count --bam reads.bam --gtf genes.gtf --barcodes cells.tsv --out {out}",
    "import": "import cells.h5ad --genes gene_table.tsv --out {out}",
    "concord": "concord --counts a=a/counts.h5ad --truth a/truth.h5ad --genes gene_table.tsv --out {out}",
    "corpus build": "corpus build a/counts.h5ad --samples samples.tsv --vocab vocab.feather --min-counts 1 --out {out}",
    "corpus totals": "corpus totals a/counts.h5ad --out {out}",
    "corpus vocab": "corpus vocab a/totals.feather --samples samples.tsv --vocab vocab.feather --out {out}",
    "corpus shard": "corpus shard a/counts.h5ad --vocab vocab.feather --group g00000 --min-counts 1 --out-dir {out}",
    "corpus export": "corpus export corpus --out {out}",
    "corpus duplicates": "corpus duplicates corpus --json {out}",
    "corpus info": "corpus info corpus --json {out}",
    "targets": "targets --teacher truth --truth a/truth.h5ad --out {out}",
    "transitions": "transitions --study study_a --truth a/truth.h5ad --out {out}",
    "pretrain": "pretrain --corpus corpus --config training.yaml --out {out}",
    "finetune expression": "finetune expression --model encoder --corpus corpus --config training.yaml --out {out}",
    "finetune velocity": "finetune velocity --model encoder --corpus corpus --targets a/targets.h5ad"
    " --config training.yaml --out {out}",
    "finetune trajectory": "finetune trajectory --model encoder --corpus corpus --transitions pairs.feather"
    " --config training.yaml --out {out}",
    "embed": "embed cells.h5ad --model encoder --out {out}",
    "velocity": "velocity cells.h5ad --model velocity --out {out}",
    "trajectory": "trajectory cells.h5ad --model trajectory --trajectories 2 --steps 1 --out {out}",
    "evaluate encoder": "evaluate encoder --model encoder --corpus corpus --truth t/truth.h5ad --out {out}",
    "evaluate expression": "evaluate expression --model expression --corpus corpus --out {out}",
    "evaluate velocity": "evaluate velocity --model velocity --corpus corpus --truth t/targets.h5ad --out {out}",
    "evaluate trajectory": "evaluate trajectory --model trajectory --corpus corpus --truth t/truth.h5ad --out {out}",
    "report corpus": "report corpus corpus --out {out}",
    "report curves": "report curves metrics.jsonl --out {out}.png",
    "report metrics": "report metrics metrics.jsonl --out {out}.png",
    "report summary": "report summary table.json --out {out}",
    "verify": "verify encoder corpus",
}
# Further commands whose paths are inputs only: a good one of them would change or need more than the folder has.
READING = {
    "corpus add": "corpus add corpus a/counts.h5ad --samples samples.tsv",
    "corpus remove": "corpus remove corpus a --because why",
    "corpus replace": "corpus replace corpus a/counts.h5ad --samples samples.tsv --because why",
    "corpus prune": "corpus prune corpus",
    "corpus verify": "corpus verify corpus",
    "corpus manifest": "corpus manifest --shards corpus/shards/g00000.train.feather --totals a/totals.feather"
    " --vocab vocab.feather --out {out}",
    "targets scvelo": "targets --teacher stochastic --counts a/counts.h5ad --out {out}",
    "transitions scvelo": "transitions --study study_a --counts a/counts.h5ad --out {out}",
    "import cells": "import cells.h5ad --cells cells.tsv --out {out}",
}


@pytest.fixture
def mistake(project, tmp_path, monkeypatch, velocorpus):
    """Run a line in the folder of good inputs; it must be refused in one sentence that has the words."""
    monkeypatch.chdir(project)
    before = sorted(project.rglob("*"))

    def run(line, *words, code=2):
        out = tmp_path / "made" / "out"
        done = velocorpus(*line.format(out=out, tmp=tmp_path).split())
        last = done.stderr.splitlines()[-1] if done.stderr else ""
        assert done.returncode == code, done
        assert last.startswith("velocorpus: "), done
        assert sum(one.startswith("velocorpus: ") for one in done.stderr.splitlines()) == 1, done
        assert "Traceback" not in done.stderr
        for word in words:
            assert word in last, last
        left = [path for path in (tmp_path / "made").rglob("*") if path.is_file() and ".partial" not in str(path)]
        assert not left, "something was written"
        assert sorted(project.rglob("*")) == before
        return last

    return run


def inputs(lines):
    """Each path of each command that is an input, with the line in which it can be replaced."""
    for name, line in lines.items():
        words = line.split()
        for i, word in enumerate(words):
            path = word.partition("=")[2] or word
            looks = "." in path or "/" in path or path in ("corpus", "encoder", "velocity", "expression", "trajectory")
            if i >= len(name.split()) - (name.split()[-1] in ("scvelo", "cells")) and looks and "{" not in path:
                yield pytest.param(words, i, id=f"{name}: {path}")


EVERY_INPUT = list(inputs(GOOD | READING))


@pytest.mark.parametrize(("words", "i"), EVERY_INPUT)
def test_a_wrong_path_is_named(mistake, words, i):
    name = words[i].rpartition("=")[0]
    mistake(
        " ".join([*words[:i], f"{name}={'absent.h5ad'}" if name else "absent.h5ad", *words[i + 1 :]]), "absent.h5ad"
    )


FOREIGN = ("folder", "empty.h5ad", "noise.h5ad", "noise.gz", "list.json", "x.feather", "x.h5ad")
ANY_WHOLE_FILE = {"noise.h5ad", "list.json", "x.feather", "x.h5ad"}  # `fetch` brings them


EVERY_FOREIGN = [
    pytest.param(*case.values, wrong, id=f"{case.id} {wrong}")
    for case in EVERY_INPUT
    for wrong in FOREIGN
    if not (case.values[0][0] == "fetch" and wrong in ANY_WHOLE_FILE)
]


@pytest.mark.parametrize(("words", "i", "wrong"), EVERY_FOREIGN)
def test_what_is_of_another_kind_is_named(mistake, foreign, words, i, wrong):
    name, path = words[i].rpartition("=")[0], foreign / wrong
    mistake(" ".join([*words[:i], f"{name}={path}" if name else str(path), *words[i + 1 :]]), wrong.partition(".")[0])


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """Whole, empty and damaged things that are not what any command asks for."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "folder").mkdir()
    (folder / "empty.h5ad").touch()
    (folder / "noise.h5ad").write_bytes(b"\x00\xff\x13 noise" * 99)
    (folder / "noise.gz").write_bytes(gzip.compress(b"noise" * 999)[:-20])
    (folder / "list.json").write_text("[1, 2]")
    feather.write_feather(pa.table({"x": [1]}), folder / "x.feather")
    ad.AnnData(np.ones((3, 2), np.float32)).write_h5ad(folder / "x.h5ad")
    return folder


WRITING = [name for name, line in GOOD.items() if "{out}" in line and name not in ("fetch",)]


@pytest.mark.parametrize("name", WRITING)
def test_a_disk_that_takes_no_more_is_one_sentence(mistake, name):
    # The limit on file sizes stands in for the full disk: it needs no mount, and the writers meet it as a real error.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        mistake(GOOD[name], "File too large", "ulimit", code=os.EX_TEMPFAIL)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_what_the_system_refuses_is_one_sentence(mistake, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code), "counts.h5ad")

    monkeypatch.setattr("h5py.File", refuse)
    mistake(GOOD["count"], "counts.h5ad", os.strerror(code), code=os.EX_TEMPFAIL)


@pytest.mark.parametrize("name", WRITING)
def test_an_output_below_a_file_is_one_sentence(mistake, project, name):
    mistake(GOOD[name].format(out="cells.tsv/out"), "cells.tsv")


def test_a_defect_keeps_its_traceback(project, monkeypatch, velocorpus):
    monkeypatch.chdir(project)
    monkeypatch.setattr("velocorpus.project.load_project", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        velocorpus("check", "--config", "config.yaml")
