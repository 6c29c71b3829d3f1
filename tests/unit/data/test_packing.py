import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from same_batches import assert_same_tokens

from velocorpus.corpus.encoding import EncodedLayer, Kept, Rows, encode_layer
from velocorpus.corpus.reader import CSR
from velocorpus.data.packing import Packer, Space, pack_csr

N_GENES = 5000  # some are frequent, some rare; gaps beyond a byte happen


def cells(draw):
    """Random cells as CSR: any number of genes, counts on both sides of 255."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_cells = draw(st.integers(1, 5))
    sizes = rng.integers(0, draw(st.sampled_from([1, 5, 300])) + 1, n_cells)
    tokens = [np.sort(rng.choice(N_GENES, n, replace=False)) for n in sizes]
    counts = rng.choice([1, 1, 1, 2, 3, 254, 255, 256, 5000], sizes.sum())
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    return CSR(indptr, np.concatenate(tokens).astype(np.int32), counts.astype(np.int32), N_GENES)


def encoded(csr):
    return encode_layer(csr.indptr, csr.indices, csr.data)


# Nothing, rare genes, frequent ones too.
DROPPED = [slice(0, 0), slice(4200, None, 2), slice(None, None, 3)]


def without(csr, keep):
    """The same cells without genes that are not kept."""
    stay = keep[csr.indices]
    indptr = np.concatenate([[0], np.cumsum(stay)])[csr.indptr]
    return CSR(indptr, csr.indices[stay], csr.data[stay], N_GENES)


def top(tokens, counts, most):
    """The policy said plainly: sorted by count, then by token."""
    kept = np.sort(np.lexsort((tokens, -counts))[:most])
    return tokens[kept].tolist(), counts[kept].tolist()


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_top_keeps_what_sorting_by_count_and_token_keeps(data, most):
    csr = cells(data.draw)
    rows = np.arange(len(csr.indptr) - 1)
    packed = pack_csr(csr, rows, max_genes=most, truncation="top", key=0)
    for row in rows:
        mine, whole = slice(*packed.offsets[row : row + 2]), slice(*csr.indptr[row : row + 2])
        expected = top(csr.indices[whole], csr.data[whole], most)
        assert (packed.genes_T[mine].tolist(), packed.counts_T[mine].tolist()) == expected
        assert packed.totals_B[row] == csr.data[whole].sum()


@settings(max_examples=150, deadline=None)
@given(st.data(), st.integers(1, 400), st.sampled_from(["top", "sample"]))
def test_bytes_of_a_shard_are_packed_as_cells_in_memory(data, most, truncation):
    csr = cells(data.draw)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, len(csr.indptr) - 1, 6)
    options = {"max_genes": most, "truncation": truncation, "key": 7}
    layer, first, keep = encoded(csr), np.zeros(6, np.int64), np.ones(N_GENES, bool)
    keep[data.draw(st.sampled_from(DROPPED))] = False
    expected = pack_csr(without(csr, keep), rows, **options)
    packed, padded = (Packer(6, Kept.of(keep, [0]), Space(), padded=padded, **options) for padded in (False, True))
    for packer in (packed, padded):
        for part in (slice(0, 2), slice(2, 6)):
            packer.add(layer, rows[part], first[part])
    assert_same_tokens(packed.tokens(), expected)
    padded = padded.padded()
    assert torch.equal(padded.totals_B, expected.totals_B)
    for cell, (a, b) in enumerate(itertools.pairwise(expected.offsets.tolist())):
        assert padded.sizes_B[cell] == b - a
        for wide, narrow in ((padded.genes_BL, expected.genes_T), (padded.counts_BL, expected.counts_T)):
            assert wide.shape == (6, most)
            assert wide[cell].tolist() == narrow[a:b].tolist() + [0] * (most - b + a)


def test_genes_that_are_not_kept_are_in_no_total():
    csr = CSR(np.array([0, 3]), np.array([1, 300, 699], np.int32), np.array([4, 300, 5], np.int32), N_GENES)
    keep = np.arange(N_GENES) != 300
    row, first = np.zeros(1, np.int64), np.zeros(1, np.int64)
    packer = Packer(1, Kept.of(keep, [0]), Space(), max_genes=9, truncation="top", key=0, padded=False)
    packer.add(encoded(csr), row, first)
    packed = packer.tokens()
    assert packed.genes_T.tolist() == [1, 699]
    assert packed.totals_B.tolist() == [9]


def test_a_row_that_does_not_decode_is_refused():
    columns = [Rows(np.array(column, np.uint8), np.array([0, len(column)])) for column in ([9], [], [])]
    packer = Packer(
        1, Kept.of(np.ones(N_GENES, bool), [0]), Space(), max_genes=9, truncation="top", key=0, padded=False
    )
    with pytest.raises(ValueError, match="row 0 of the block does not decode"):
        packer.add(EncodedLayer(*columns), np.zeros(1, np.int64), np.zeros(1, np.int64))


def test_what_is_sampled_depends_on_the_key_and_the_place_and_follows_the_counts():
    csr = CSR(np.array([0, 100]), np.arange(100, dtype=np.int32), np.ones(100, np.int32), N_GENES)
    csr.data[50:] = 9
    rows = np.zeros(400, np.int64)

    def drawn(key):
        return pack_csr(csr, rows, max_genes=1, truncation="sample", key=key).genes_T.numpy()

    assert np.array_equal(drawn(3), drawn(3))
    assert not np.array_equal(drawn(3), drawn(4))
    assert len(set(drawn(3))) > 50
    assert 0.84 < np.mean(drawn(3) >= 50) < 0.96  # 0.9 expected, four standard deviations are 0.06


def test_arrays_are_used_again_only_when_nobody_holds_them():
    space = Space()
    held = torch.from_numpy(space.take(10, np.int32)[2:5])
    other = space.take(10, np.int32)
    assert not np.shares_memory(held.numpy(), other)
    where = other.ctypes.data
    del other
    assert space.take(8, np.int32).ctypes.data == where
    assert space.take(11, np.int32).ctypes.data not in (where, held.data_ptr() - 8)
