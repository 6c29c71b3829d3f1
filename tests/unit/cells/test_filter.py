import os
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

from velocorpus.cells.filter import Cuts, cell_sums, gene_sums, keep_cells, keep_genes
from velocorpus.config import CutsConfig
from velocorpus.errors import UserMistake


def by_scanpy_and_scvelo(spliced, unspliced):
    """Kept cells and genes of the two public functions in the order that the contract states, on raw counts."""
    import scanpy as sc
    import scvelo as scv

    adata = ad.AnnData(spliced.astype(np.float32), layers={"spliced": spliced.copy(), "unspliced": unspliced.copy()})
    sc.pp.filter_cells(adata, min_counts=1000)
    cells = adata.obs_names.astype(int).to_numpy()
    scv.pp.filter_and_normalize(adata, min_counts=1001)
    return cells, adata.var_names.astype(int).to_numpy()


def ours(spliced):
    cells = np.flatnonzero(keep_cells({"n_spliced": cell_sums(spliced)}, 1000))
    return cells, np.flatnonzero(keep_genes(gene_sums(spliced, cells)[0], 1001))


def assert_equal_to_public_functions(spliced, unspliced):
    cells, genes = ours(spliced)
    their_cells, their_genes = by_scanpy_and_scvelo(spliced, unspliced)
    assert np.array_equal(cells, their_cells)
    assert np.array_equal(genes, their_genes)
    assert 0 < len(cells) < spliced.shape[0]
    assert 0 < len(genes) < spliced.shape[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_kept_cells_and_genes_of_random_counts_equal_those_of_scanpy_and_scvelo():
    rng = np.random.default_rng(0)
    rate = rng.gamma(0.3, 20, 300)[None, :] * rng.gamma(2, 0.4, 200)[:, None]
    spliced, unspliced = (sparse.csr_matrix(rng.poisson(rate * share)) for share in (1, 0.3))
    assert_equal_to_public_functions(spliced, unspliced)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_kept_cells_and_genes_of_the_pancreas_equal_those_of_scanpy_and_scvelo():
    data = os.environ.get("VELOCORPUS_TEST_DATA")
    if not data:
        pytest.skip("VELOCORPUS_TEST_DATA is not set")
    adata = ad.read_h5ad(Path(data) / "matrices" / "pancreas_3696x2000.h5ad")
    layers = (sparse.csr_matrix(adata.layers[layer]) for layer in ("spliced", "unspliced"))
    assert_equal_to_public_functions(*layers)


def test_the_bounds_belong_to_what_is_kept():
    assert keep_cells({"n_spliced": [999, 1000, 1001]}, 1000).tolist() == [False, True, True]
    assert keep_genes(np.array([1000, 1001]), 1001).tolist() == [False, True]


def test_sums_do_not_overflow_the_counts_type():
    counts = sparse.csr_matrix(np.full((1, 4), 2**31 - 1, np.int32))
    assert cell_sums(counts).tolist() == [4 * (2**31 - 1)]


@pytest.mark.parametrize(
    ("cut", "column", "values"),
    [
        ("min_unspliced_fraction", "unspliced_fraction", [0.49, 0.5, 1]),
        ("max_unspliced_fraction", "unspliced_fraction", [0.51, 0.5, 0]),
        ("max_mitochondrial_fraction", "mitochondrial_fraction", [0.51, 0.5, 0]),
        ("max_doublet_score", "doublet_score", [0.51, 0.5, 0]),
    ],
)
def test_a_cut_keeps_its_bound_and_what_is_not_known(cut, column, values):
    figures = {"n_spliced": [10] * 4, column: [*values, np.nan]}
    assert keep_cells(figures, 10, Cuts(**{cut: 0.5})).tolist() == [False, True, True, True]
    assert keep_cells(figures, 11, Cuts(**{cut: 0.5})).tolist() == [False] * 4


def test_nothing_but_the_spliced_sum_is_cut_by_default():
    assert Cuts().applied == CutsConfig().model_dump(exclude_none=True) == {}
    assert keep_cells({"n_spliced": [1000]}, 1000).tolist() == [True]


def test_the_configuration_has_every_cut():
    assert list(CutsConfig.model_fields) == [*vars(Cuts())]


@pytest.mark.parametrize(
    "texts", [["max_doublets=1"], ["max_doublet_score"], ["max_doublet_score=2"], ["max_doublet_score=nan"]]
)
def test_what_is_no_cut_is_refused_with_those_there_are(texts):
    with pytest.raises(UserMistake, match=r"is not a cut; .* max_mitochondrial_fraction, max_doublet_score"):
        Cuts.parse(texts)


def test_a_cut_given_twice_is_refused():
    with pytest.raises(UserMistake, match="once"):
        Cuts.parse(["max_doublet_score=0.1", "max_doublet_score=0.2"])
