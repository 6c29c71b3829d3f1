"""Scrublet's scores: a column of the counts that nothing else of them depends on."""

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from typer.testing import CliRunner

from velocorpus.cells.doublets import MIN_CELLS, score_doublets
from velocorpus.cli.doublets import app
from velocorpus.corpus import Corpus
from velocorpus.corpus.building.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.counting.counts_file import read_counts, write_counts


def counts(n_cells, n_genes=200, n_doublets=0):
    """Cells of four types, and sums of two of different types after them."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(0.5, 2, (4, n_genes))
    cells = rng.poisson(rates[np.arange(n_cells) % 4])
    doublets = cells[:n_doublets] + cells[1 : n_doublets + 1]
    return sparse.csr_matrix(np.vstack([cells, doublets]))


def write(path, spliced):
    write_counts(
        path,
        layers={"spliced": spliced, "unspliced": spliced},
        sample="a",
        barcodes=[f"BC{i}" for i in range(spliced.shape[0])],
        genes=pd.DataFrame({"version": "7"}, index=[f"ENSG{i:011d}" for i in range(spliced.shape[1])]),
        source={"organism": "human", "quantifier": "x"},
        obs=pd.DataFrame({"cell_type": ["T"] * spliced.shape[0]}),
    )
    return path


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    write(folder / "counts.h5ad", counts(120, n_doublets=10))
    done = CliRunner().invoke(app, [str(folder / "counts.h5ad"), "--out", str(folder / "scored.h5ad")])
    assert done.exit_code == 0, done.output
    return folder, done.stderr


def test_doublets_score_above_cells():
    scores, why = score_doublets(counts(120, n_doublets=10), 0)
    assert not why
    assert scores[120:].min() > np.median(scores[:120])
    assert np.array_equal(scores, score_doublets(counts(120, n_doublets=10), 0)[0])


def test_a_cell_without_genes_has_no_score():
    matrix = counts(MIN_CELLS + 1).tolil()
    matrix[0] = 0
    assert np.flatnonzero(np.isnan(score_doublets(matrix.tocsr(), 0)[0])).tolist() == [0]


@pytest.mark.parametrize(
    ("matrix", "said"), [(counts(MIN_CELLS - 1), "100 are needed"), (counts(120, 40), "fewer than 30 genes vary")]
)
def test_too_little_to_score_leaves_no_score_and_says_why(matrix, said):
    scores, why = score_doublets(matrix, 0)
    assert said in why
    assert np.isnan(scores).all()


def test_only_the_column_and_its_origin_are_new(scored):
    folder, said = scored
    before, after = read_counts(folder / "counts.h5ad"), read_counts(folder / "scored.h5ad")
    new = after.uns["velocorpus"]["source"].pop("doublets")
    assert new["seed"] == 0
    assert "scrublet" in new["by"]
    assert after.uns["velocorpus"] == before.uns["velocorpus"]
    assert after.var.equals(before.var)
    assert after.obs.drop(columns="doublet_score").equals(before.obs)
    assert "a: 130 of 130 cells are scored" in said


def test_the_score_reaches_the_shards_and_cuts_only_when_asked(scored, tmp_path):
    folder, _ = scored
    options = {"samples": {}, "splits": Splits(), "min_counts": 0, "min_gene_counts": 0, "group_samples": 1, "seed": 0}
    cells = Corpus(build([folder / "scored.h5ad"], tmp_path / "c", **options)).read()
    scores = read_counts(folder / "scored.h5ad").obs["doublet_score"]
    found = dict(zip(cells.obs["cell_id"].to_pylist(), cells.obs["doublet_score"].to_pylist(), strict=True))
    assert found == scores.to_dict()


def test_nulls_are_said_and_written(tmp_path):
    write(tmp_path / "counts.h5ad", counts(5))
    path = str(tmp_path / "counts.h5ad")
    done = CliRunner().invoke(app, [path, "--out", path])
    assert "a: no doublet scores: 5 cells have 3 genes or more, 100 are needed" in done.stderr
    after = read_counts(path)
    assert after.obs["doublet_score"].isna().all()
    assert "100 are needed" in after.uns["velocorpus"]["source"]["doublets"]["none_because"]
