"""Representations that `evaluate encoder` writes, and those that it is given."""

import json

import anndata as ad
import numpy as np
import pandas as pd

LINE = "evaluate encoder --model encoder --corpus corpus --truth t/truth.h5ad --max-cells 40"


def rows(path):
    return {(figure, of): rest for figure, of, *rest in json.loads(path.read_text())["rows"]}


def test_what_the_encoder_s_table_writes_has_the_same_figures_when_it_is_given(
    tmp_path, project, velocorpus, monkeypatch
):
    monkeypatch.chdir(project)
    out, written = tmp_path / "table.json", tmp_path / "written.h5ad"
    assert velocorpus(*LINE.split(), "--out", out, "--representations-out", written).returncode == 0
    alone = rows(out)
    before = {"untrained encoder, random genes", "untrained encoder, genes as components"}
    assert before <= {of for figure, of in alone if figure.startswith("retrieval")}
    assert velocorpus(*LINE.split(), "--out", out, "--representation", f"again={written}").returncode == 0
    both = rows(out)
    assert {key: both[key] for key in alone} == alone
    again = {(figure, of.removeprefix("again: ")): both[figure, of] for figure, of in both if of.startswith("again: ")}
    names = {of for figure, of in alone if figure.startswith("probe")} - {"PCA of the study itself"}
    assert {of for _, of in again} == names
    for key, found in again.items():
        assert abs(found[0] - alone[key][0]) < 1e-3, key


def test_a_representation_with_the_name_of_a_row_of_ours_is_refused(tmp_path, project, refused, monkeypatch):
    monkeypatch.chdir(project)
    ids = [f"t:BC{i:05d}" for i in range(90)]
    ad.AnnData(obs=pd.DataFrame(index=ids), obsm={"global": np.eye(90)}).write_h5ad(tmp_path / "other.h5ad")
    line = f"evaluate encoder --model encoder --corpus corpus --representation velocorpus={tmp_path}/other.h5ad"
    refused(f"{line} --out {tmp_path}/out", "row 'velocorpus: global'")
