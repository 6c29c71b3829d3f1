import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from velocorpus.counting import counts_file
from velocorpus.counting.counts_file import read_counts, read_pieces, write_counts
from velocorpus.errors import UserMistake


@pytest.fixture
def counts(tmp_path):
    path = tmp_path / "counts.h5ad"
    layers = {name: sparse.csr_matrix(np.arange(12).reshape(3, 4) % 5) for name in ("spliced", "unspliced")}
    genes = pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(4)])
    write_counts(path, layers=layers, sample="a", barcodes=list("xyz"), genes=genes, source={"quantifier": "import"})
    return path


def test_what_is_read_is_what_anndata_reads(counts):
    ours, theirs = read_counts(counts), ad.read_h5ad(counts)
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    pd.testing.assert_frame_equal(ours.var, theirs.var)
    assert set(ours.layers) == set(theirs.layers)
    for name in theirs.layers:
        assert (ours.layers[name] != theirs.layers[name]).nnz == 0
    assert (ours.X != theirs.X).nnz == 0
    assert ours.layers["spliced"].dtype == np.int32


def test_a_count_that_was_changed_is_refused_unless_the_file_is_trusted(counts):
    with h5py.File(counts, "r+") as file:
        file["layers/unspliced/data"][0] += 1
    with pytest.raises(UserMistake, match="does not match its own content digest"):
        read_counts(counts)
    assert read_counts(counts, check=False).n_obs == 3


def test_pieces_are_the_sample_cut_between_cells(counts, monkeypatch):
    whole = read_counts(counts)
    monkeypatch.setattr(counts_file, "PIECE_COUNTS", 7)
    first, second, third = read_pieces(counts)  # 6 counts a cell
    pd.testing.assert_frame_equal(pd.concat([first.obs, second.obs, third.obs]), whole.obs)
    assert first.uns == whole.uns
    for layer in whole.layers:
        found = sparse.vstack([piece.layers[layer] for piece in (first, second, third)])
        assert np.array_equal(found.toarray(), whole.layers[layer].toarray())


def test_a_count_that_was_changed_is_refused_before_the_first_piece(counts, monkeypatch):
    monkeypatch.setattr(counts_file, "PIECE_COUNTS", 7)
    with h5py.File(counts, "r+") as file:
        file["layers/unspliced/data"][-1] += 1
    with pytest.raises(UserMistake, match="does not match its own content digest"):
        next(read_pieces(counts))
    assert next(read_pieces(counts, check=False)).n_obs == 1


def test_a_file_of_another_program_is_told_how_to_come_in(tmp_path):
    ad.AnnData(np.ones((2, 2))).write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(UserMistake, match="velocorpus import"):
        read_counts(tmp_path / "other.h5ad")
