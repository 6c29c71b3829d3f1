"""Cells that no model can take, and models and corpora asked for what they are not: one sentence each."""

import anndata as ad
import numpy as np
import pyarrow as pa
import pytest
from project_makers import GENES, make_cells
from pyarrow import feather

MATRICES = {
    "negative": ({"spliced": np.full((40, len(GENES)), -1.0)}, ["negative"]),
    "fractional": ({"unspliced": np.full((40, len(GENES)), 0.5)}, ["fractional"]),
    "not a number": ({"spliced": np.full((40, len(GENES)), np.nan)}, ["spliced"]),
    "infinite": ({"spliced": np.full((40, len(GENES)), np.inf)}, ["spliced"]),
    "duplicate genes": ({"var_names": [GENES[0], *GENES[:-1]]}, ["gene"]),
}
USERS = {
    "import": "import {cells} --out {tmp}/out",
    "velocity": "velocity {cells} --model velocity --out {tmp}/out",
    "embed": "embed {cells} --model encoder --out {tmp}/out",
    "trajectory": "trajectory {cells} --model trajectory --out {tmp}/out --trajectories 1 --steps 1",
}


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(("changes", "words"), MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_matrices(tmp_path, project, monkeypatch, refused, line, changes, words):
    make_cells(tmp_path / "cells.h5ad", **changes)
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "cells.h5ad", tmp=tmp_path), *words)


@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_cells_without_layers(tmp_path, project, monkeypatch, refused, line):
    ad.AnnData(np.ones((40, 3), np.float32)).write_h5ad(tmp_path / "plain.h5ad")
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "plain.h5ad", tmp=tmp_path), "plain.h5ad", "'spliced'", "none")


@pytest.mark.parametrize("line", USERS.values(), ids=USERS)
def test_no_cells(tmp_path, project, monkeypatch, refused, line):
    empty = np.zeros((0, len(GENES)), np.float32)
    adata = ad.AnnData(layers={"spliced": empty, "unspliced": empty}, shape=empty.shape)
    adata.var_names = GENES
    adata.write_h5ad(tmp_path / "nobody.h5ad")
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "nobody.h5ad", tmp=tmp_path), "nobody.h5ad", "no cells")


@pytest.mark.parametrize("line", [USERS["embed"], USERS["trajectory"]], ids=["embed", "trajectory"])
def test_symbols_only(tmp_path, project, monkeypatch, refused, line):
    make_cells(tmp_path / "symbols.h5ad", var_names=[f"Gene{i}" for i in range(len(GENES))])
    monkeypatch.chdir(project)
    refused(line.format(cells=tmp_path / "symbols.h5ad", tmp=tmp_path), "symbols.h5ad", "Gene0", "Ensembl")


WRONG_MODELS = {
    "velocity by an encoder": ("velocity cells.h5ad --model encoder", ["encoder", "finetune velocity"]),
    "velocity by a trajectory decoder": ("velocity cells.h5ad --model trajectory", ["trajectory", "finetune velocity"]),
    "trajectory by a velocity decoder": ("trajectory cells.h5ad --model velocity", ["velocity", "finetune trajectory"]),
    "trajectory by an encoder": ("trajectory cells.h5ad --model encoder", ["encoder", "finetune trajectory"]),
    "velocity of another mode": ("velocity cells.h5ad --model velocity --mode none", ["velocity", "neighbours"]),
    "evaluate expression": (
        "evaluate expression --model velocity --corpus corpus",
        ["velocity", "finetune expression"],
    ),
    "evaluate velocity": (
        "evaluate velocity --model encoder --corpus corpus --truth t/targets.h5ad",
        ["finetune velocity"],
    ),
    "evaluate trajectory": (
        "evaluate trajectory --model velocity --corpus corpus --truth t/truth.h5ad",
        ["finetune trajectory"],
    ),
    "study key": ("velocity cells.h5ad --model velocity --study-key batch", ["'batch'"]),
    "start": ("trajectory cells.h5ad --model trajectory --start type=B", ["'type'"]),
    "color": (
        "trajectory cells.h5ad --model trajectory --trajectories 1 --steps 1 --figure {tmp}/f.png --color tipe",
        ["'tipe'"],
    ),
    "split": ("evaluate expression --model expression --corpus corpus --split tst", ["'tst'", "test"]),
    "other truth": ("evaluate velocity --model velocity --corpus corpus --truth a/targets.h5ad", ["truth"]),
    "truths for an encoder": (
        "evaluate encoder --model encoder --corpus corpus --truth a/truth.h5ad",
        ["test", "truth"],
    ),
    "other truths": ("evaluate trajectory --model trajectory --corpus corpus --truth a/truth.h5ad", ["truth"]),
    "no device": ("velocity cells.h5ad --model velocity --device gpu7", ["gpu7", "cpu"]),
    "no device to embed": ("pretrain --corpus corpus --config training.yaml --device gpu7", ["gpu7", "cpu"]),
    "no device to tune": ("finetune expression --model encoder --corpus corpus --device gpu7", ["gpu7", "cpu"]),
    "mode": (
        "finetune velocity --model encoder --corpus corpus --targets a/targets.h5ad --mode all",
        ["'all'", "none"],
    ),
    "targets of no training study": (
        "finetune velocity --model encoder --corpus corpus --targets t/targets.h5ad",
        ["training"],
    ),
    "study": ("corpus export corpus --study nowhere", ["'nowhere'", "study_a"]),
    "teacher": ("targets --teacher velvet --counts a/counts.h5ad", ["velvet", "scvelo_stochastic"]),
    "teacher without truth": ("targets --teacher truth --counts a/counts.h5ad", ["--truth"]),
    "transitions of nothing": ("transitions --study s", ["--truth", "--counts"]),
    "teacher of transitions": (
        "transitions --study s --counts a/counts.h5ad --teacher x",
        ["'x'", "scvelo_stochastic"],
    ),
    "same file twice": ("corpus build a/counts.h5ad a/counts.h5ad", ["Sample a"]),
    "truth twice": ("targets --teacher truth --truth a/truth.h5ad --truth a/truth.h5ad", ["truth.h5ad"]),
    "held-out study": ("corpus build a/counts.h5ad --min-counts 1 --test-study nowhere", ["'nowhere'"]),
    "filter too strict": ("corpus build a/counts.h5ad --min-counts 99999999", ["99999999"]),
    "cell type": ("import cells.h5ad --cell-type type", ["cells.h5ad", "'type'"]),
    "cells and calling": ("import cells.h5ad --cells cells.tsv --call-cells knee", ["--cells"]),
    "nothing to compare": ("concord --counts a=a/counts.h5ad", ["--truth"]),
    "no name": ("concord --counts a/counts.h5ad --counts v=v/counts.h5ad", ["NAME="]),
    "preset": ("simulate --preset huge", ["huge", "tiny"]),
    "part of a preset": ("simulate --preset tiny --only nowhere", ["nowhere"]),
    "chemistry": ("whitelist 10xv9", ["10xv9", "10xv3"]),
    "chemistry without list": ("whitelist 10xv3_5p", ["whitelist"]),
    "scheme": ("fetch ftp://host/file", ["ftp://host/file", "s3://"]),
    "cells of few UMIs": ("cells --bam reads.bam --min-umis 99", ["reads.bam", "99"]),
    "read without chemistry": ("fetch reads.fastq --read 1", ["--chemistry"]),
    "swapped reads": ("fetch reads.fastq --chemistry 10xv3 --read 2", ["reads.fastq", "swapped"]),
    "group": ("corpus shard a/counts.h5ad --vocab other.feather --group g00000 --min-counts 1", ["vocabulary"]),
}


@pytest.mark.parametrize(("line", "words"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_things_that_do_not_go_together(tmp_path, project, monkeypatch, refused, line, words):
    monkeypatch.chdir(project)
    if "other.feather" in line:
        make_vocabulary(tmp_path / "other.feather")
        line = line.replace("other.feather", f"{tmp_path}/other.feather")
    out = "--out-dir" if line.startswith("corpus shard") else "--out"
    refused(f"{line.format(tmp=tmp_path)} {out} {tmp_path}/out", *words)
    assert not (tmp_path / "f.png").exists()


def make_vocabulary(path):
    columns = {"token": [0], "gene_id": ["ENSG00000099999"], "symbol": ["X"], "organism": ["human"]}
    feather.write_feather(pa.table(columns), path)
