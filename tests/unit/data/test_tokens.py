import numpy as np
import pytest
import torch
from scipy import sparse

from velocorpus.corpus.reader import CSR, Cells
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.data.tokens import batch_of, cells_of
from velocorpus.errors import UserMistake

COUNTS = np.array([[0, 3, 1, 9, 9], [0, 0, 0, 0, 0], [7, 0, 0, 0, 300]])


def vocabulary(n_genes=5, kept=None):
    genes = [f"ENSG{i}" for i in range(n_genes)]
    return Vocabulary(genes, genes, ["human"] * n_genes, np.ones(n_genes, bool) if kept is None else np.array(kept))


def triple(counts):
    matrix = sparse.csr_matrix(counts)
    return matrix.indptr, matrix.indices, matrix.data


def cells(counts=COUNTS, **options):
    genes = [f"ENSG{i}" for i in range(counts.shape[1])]
    return cells_of({"spliced": triple(counts), "unspliced": triple(counts * 2)}, genes, vocabulary(5), **options)


def batch(rows, max_genes=100, truncation="top", seed=0, **options):
    rng = np.random.default_rng(seed)
    return batch_of(
        cells(**options), np.array(rows), ["spliced", "unspliced"], max_genes=max_genes, truncation=truncation, rng=rng
    )


def test_a_batch_packs_the_rows_in_the_order_asked_for():
    one = batch([2, 1, 0]).layers["spliced"]
    assert one.genes_T.tolist() == [0, 4, 1, 2, 3, 4]
    assert one.counts_T.tolist() == [7, 300, 3, 1, 9, 9]
    assert one.offsets.tolist() == [0, 2, 2, 6]
    assert batch([2, 1, 0]).rows_B.tolist() == [2, 1, 0]


def test_types_are_those_of_the_contract():
    one = batch([0]).layers["unspliced"]
    types = [x.dtype for x in (one.genes_T, one.counts_T, one.offsets, one.totals_B)]
    assert types == [torch.int32, torch.float32, torch.int64, torch.float32]


def test_top_keeps_the_highest_counts_ties_to_the_smaller_token_in_the_order_of_tokens():
    one = batch([0, 2], max_genes=1).layers["spliced"]
    assert one.genes_T.tolist() == [3, 4]
    assert batch([0], max_genes=3).layers["spliced"].genes_T.tolist() == [1, 3, 4]


def test_totals_are_of_all_genes_also_when_cut():
    assert batch([0, 1, 2], max_genes=1).layers["spliced"].totals_B.tolist() == [22, 0, 307]
    assert batch([0], max_genes=1).layers["unspliced"].totals_B.tolist() == [44]


def test_a_sample_is_weighted_by_counts_and_repeats_with_its_seed():
    drawn = [batch([2], max_genes=1, truncation="sample", seed=s).layers["spliced"].genes_T.item() for s in range(300)]
    assert 0.9 < np.mean(np.array(drawn) == 4) < 1
    again = batch([2], max_genes=1, truncation="sample", seed=7).layers["spliced"].genes_T.item()
    assert drawn[7] == again


def test_a_batch_of_no_cells_and_of_no_genes_is_fine():
    assert len(batch([])) == 0
    assert batch([1]).layers["spliced"].genes_T.numel() == 0


def test_columns_are_matched_by_gene_id_not_by_place():
    genes = ["ENSG4", "ENSG0", "ENSG2"]
    one = cells_of({"spliced": triple(np.array([[5, 6, 0]]))}, genes, vocabulary()).layers["spliced"]
    assert (one.indices.tolist(), one.data.tolist(), one.n_genes) == ([0, 4], [6, 5], 5)


def test_genes_outside_the_vocabulary_are_listed_and_dropped():
    one = cells_of({"spliced": triple(np.array([[5, 6, 7]]))}, ["X1", "ENSG0", "X2"], vocabulary())
    assert one.unmapped == ("X1", "X2")
    assert one.layers["spliced"].indices.tolist() == [0]


def test_genes_outside_the_vocabulary_can_stay_as_unknown():
    one = cells_of({"spliced": triple(np.array([[5, 6, 7]]))}, ["X1", "ENSG0", "X2"], vocabulary(), unknown="keep")
    assert one.layers["spliced"].indices.tolist() == [-1, -1, 0]
    assert one.layers["spliced"].data.sum() == 18


@pytest.mark.parametrize("unknown", ["drop", "keep"])
def test_genes_that_the_filter_has_removed_are_dropped_as_on_reading(unknown):
    kept = [True, False, True, True, True]
    layers = {"spliced": triple(COUNTS)}
    one = cells_of(layers, [f"ENSG{i}" for i in range(5)], vocabulary(kept=kept), unknown=unknown)
    assert 1 not in one.layers["spliced"].indices
    assert one.unmapped == ()


def test_floats_that_are_whole_numbers_are_counts():
    layers = {"spliced": triple(COUNTS.astype(np.float32))}
    one = cells_of(layers, [f"ENSG{i}" for i in range(5)], vocabulary()).layers["spliced"]
    assert one.data.dtype == np.int32


@pytest.mark.parametrize(
    ("counts", "genes", "message"),
    [
        ([[0.5, 1]], ["ENSG0", "ENSG1"], "fractional"),
        ([[-1, 1]], ["ENSG0", "ENSG1"], "negative"),
        ([[1, 1]], ["ENSG0", "ENSG0"], "not unique"),
        ([[1, 1]], ["A", "B"], "in the vocabulary"),
    ],
)
def test_mistakes_are_named(counts, genes, message):
    with pytest.raises(UserMistake, match=message):
        cells_of({"spliced": triple(np.array(counts))}, genes, vocabulary())


def test_totals_per_cell_are_counted_once_the_cells_are_made():
    assert cells().obs["n_unspliced"].to_pylist() == [44, 0, 614]


def test_rows_of_a_corpus_and_of_a_matrix_make_the_same_batch():
    csr = CSR(np.array([0, 2]), np.array([0, 4], np.int32), np.array([7, 300], np.int32), 5)
    other = Cells(cells().obs.slice(2, 1), {"spliced": csr})
    rng = np.random.default_rng(0)
    one = batch_of(other, np.array([0]), ["spliced"], max_genes=9, truncation="top", rng=rng).layers["spliced"]
    two = batch([2]).layers["spliced"]
    assert torch.equal(one.genes_T, two.genes_T)
    assert torch.equal(one.counts_T, two.counts_T)
