import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_reader import DOCS

from velocorpus.corpus.encoding import (
    BORDER,
    EncodedLayer,
    Rows,
    decode,
    decode_layer,
    encode_layer,
    join_rows,
    take_rows,
)

N_GENES = 70_000
# Gaps and counts around every boundary of the code and of narrower integer types.
EDGES = st.sampled_from(
    [
        1,
        2,
        4,
        5,
        6,
        50,
        51,
        52,
        102,
        259,
        260,
        261,
        514,
        515,
        BORDER - 1,
        BORDER,
        BORDER + 50,
        BORDER + 51,
        65_535,
        65_536,
    ]
)
CELL = st.dictionaries(
    st.integers(0, N_GENES - 1) | EDGES, st.integers(1, 2**31 - 1).map(lambda n: n % 300_000 + 1) | EDGES, max_size=30
)


def encode(cells):
    indptr = np.cumsum([0, *map(len, cells)])
    tokens = np.array([token for cell in cells for token in sorted(cell)], np.int64)
    counts = np.array([cell[token] for cell in cells for token in sorted(cell)], np.int64)
    return encode_layer(indptr, tokens, counts), indptr, tokens, counts


def decode_all(layer, n_cells, first=0, keep=None):
    firsts = np.full(n_cells, first, np.int64)
    keep = np.ones(N_GENES + first, bool) if keep is None else keep
    return decode_layer(layer, np.arange(n_cells), firsts, keep)


@settings(max_examples=200, deadline=None)
@given(st.lists(CELL, max_size=6), st.sampled_from([0, 1, 36_601, 65_536]))
def test_what_is_decoded_equals_what_was_encoded(cells, first):
    layer, indptr, tokens, counts = encode(cells)
    decoded = decode_all(layer, len(cells), first)
    assert np.array_equal(decoded[0], indptr)
    assert np.array_equal(decoded[1], tokens + first)
    assert np.array_equal(decoded[2], counts)


@settings(max_examples=100, deadline=None)
@given(CELL, st.sampled_from([0, 36_601]))
def test_the_contracts_lines_decode_the_same(cell, first):
    layer, _, tokens, counts = encode([cell])
    decoded = decode(*(column.bytes for column in layer), first)
    assert np.array_equal(decoded, (tokens + first, counts))


def test_bytes_are_those_of_the_contract():
    layer, *_ = encode([{0: 1, 1: 4, 51: 5, 102: 260, BORDER: 1, BORDER + 51: 600}])
    assert layer.frequent.bytes.tolist() == [5, 8, 254, 255, 4]
    assert layer.rare.bytes.tolist() == [5, 255, 4]
    assert layer.more.bytes.tolist() == [0, 255, 0, 255, 255, 85]


def test_the_documented_example_is_what_the_code_writes():
    text = re.search(r"    tokens +100 .*?\n\n", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    said = {
        line.split()[0]: line.split("gaps")[0].split("numbers")[0].split()[1:] for line in text.strip().splitlines()
    }
    tokens, counts = ([int(number) for number in said[name]] for name in ("tokens", "counts"))
    layer, *_ = encode([{token - 100: count for token, count in zip(tokens, counts, strict=True)}])
    assert layer.frequent.bytes.tolist() == [int(byte) for byte in said["frequent"]]
    value, times, n, last = said["rare"]
    assert (times, layer.rare.bytes.tolist()) == ("×", [int(value)] * int(n) + [int(last)])
    assert layer.more.bytes.tolist() == [int(byte) for byte in said["more"]]


def test_genes_that_are_not_kept_are_left_out():
    layer, *_ = encode([{0: 1, 5: 300, 9: 2}, {5: 1}])
    keep = np.ones(10, bool)
    keep[5] = False
    indptr, tokens, counts = decode_all(layer, 2, keep=keep)
    assert (indptr.tolist(), tokens.tolist(), counts.tolist()) == ([0, 2, 2], [0, 9], [1, 2])


@pytest.mark.parametrize(
    "columns",
    [
        ([9], [], []),
        ([5], [], [0]),
        ([255], [], []),
        ([5], [255], []),
        ([9], [], [255]),
        ([], [], [1]),
        ([1, 5], [], []),
        ([], [4], []),
        ([253], [200], []),
        ([255, 255, 5], [], []),
        ([5, *[255] * 328_965, 5], [], []),
    ],
    ids=[
        "fewer counts", "more counts", "open gap", "open rare gap", "open count", "no gene", "no gap", "no rare gap",
        "rare outside the vocabulary", "outside the vocabulary", "as far outside as a token's 24 bits reach",
    ],
)  # fmt: skip
def test_bytes_that_cannot_be_right_are_refused(columns):
    rows = [Rows(np.array(x, np.uint8), np.array([0, len(x)])) for x in columns]
    with pytest.raises(ValueError, match="does not decode"):
        decode_layer(EncodedLayer(*rows), np.arange(1), np.zeros(1, np.int64), np.ones(100, bool))


def test_rows_can_be_taken_and_joined():
    rows = Rows(np.array([1, 2, 3], np.uint8), np.array([0, 1, 1, 3]))
    taken = take_rows(rows, np.array([2, 0, 1]))
    assert (taken.bytes.tolist(), taken.offsets.tolist()) == ([2, 3, 1], [0, 2, 3, 3])
    joined = join_rows([rows, taken])
    assert joined.offsets.tolist() == [0, 1, 1, 3, 5, 6, 6]
    assert join_rows([]).offsets.tolist() == [0]
