"""The byte code of a shard: one number for a gene's gap and small count, as bytes in which 255 means "and go on".

A code is 5 · gap + min(count, 5) − 1. Genes ascend, so a row stores the gap from the token before, counted from the
first token of the cell's organism: a mouse cell does not pay for the human genes. Tokens follow frequency, so genes
below `BORDER` have small gaps and many counts, the others long gaps and counts of one: two columns, which zstd
compresses by themselves. What a count has beyond 5 stands in a third. A number v is v // 255 times the byte 255, then
v % 255; since 255 is 5 · 51, byte // 5 adds up to the gap whether the code goes on or not. Cost: a token can be found
only by reading its row from the start, which every reader of whole cells does anyway.

Compiled by numba; `decode` is the numpy twin that the contract states and tests compare with. All buffers are (bytes
uint8, offsets int): row r owns bytes[offsets[r]:offsets[r + 1]].
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from velocorpus.compiled import compiled

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

# Genes of an organism with a token below this, from its first on, are in the column of frequent genes.
BORDER = 4096
# The smallest count that has something in the column `more`.
MORE = 5
# One addition for a byte of a code: its gap to the token (from bit 40), whether its count goes on in `more` to the
# number of those (from bit 20), whether it ends a code to the number of genes.
_BYTE = np.arange(256, dtype=np.uint64)
SMALL = (_BYTE % MORE + 1).astype(np.uint8)
_STEP = (_BYTE // MORE) << 40 | (SMALL == MORE).astype(np.uint64) << 20 | (_BYTE != 255)
_FIELD = 2**20 - 1
_NONE, _FREQUENT, _EVERY = range(3)


class Rows(NamedTuple):
    """Rows of bytes, one after another."""

    bytes: Bytes
    offsets: NDArray[Any]  # int32 as Arrow has them, or int64


class EncodedLayer(NamedTuple):
    """One layer of some cells as a shard stores it."""

    frequent: Rows
    rare: Rows
    more: Rows


class Kept(NamedTuple):
    """Which genes come back from decoding: 1 or 0 by token; and, at each organism's first token, which of its genes
    need no look at that: none, the frequent ones, or every one.
    """

    keep: NDArray[np.uint8]
    sure: NDArray[np.uint8]

    @classmethod
    def of(cls, keep: NDArray[np.bool_], firsts: Iterable[int]) -> "Kept":
        """For organisms with these first tokens. A vocabulary has fewer than 2²⁴ genes (see `_STEP`)."""
        assert len(keep) < 2**24, "a token has 24 bits"
        sure = np.full(len(keep) + 1, _NONE, np.uint8)
        for first in firsts:
            if keep[first : first + BORDER].all():
                sure[first] = _EVERY if keep[first:].all() else _FREQUENT
        return cls(keep.view(np.uint8), sure)


def decode(frequent: Bytes, rare: Bytes, more: Bytes, first: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tokens and counts of one cell: the contract's lines."""
    codes = [_numbers(frequent), _numbers(rare)]
    tokens = first - 1 + np.concatenate([np.cumsum(codes[0] // MORE), BORDER + np.cumsum(codes[1] // MORE)])
    counts = np.concatenate(codes) % MORE + 1
    counts[counts == MORE] += _numbers(more)
    return tokens, counts


def _numbers(row: Bytes) -> NDArray[np.int64]:
    return np.diff(np.cumsum(row, dtype=np.int64)[row != 255], prepend=0)


def encode_layer(indptr: Any, tokens: Any, counts: Any) -> EncodedLayer:
    """Encode CSR rows: `tokens` ascending within a row and relative to the organism's first token, `counts` ≥ 1."""
    indptr, tokens, counts = (np.asarray(values, dtype=np.int64) for values in (indptr, tokens, counts))
    descends = np.diff(tokens) <= 0
    descends[indptr[1:-1][(indptr[1:-1] > indptr[0]) & (indptr[1:-1] < indptr[-1])] - 1] = False
    assert not descends.any(), "tokens must ascend within a cell"
    assert not len(counts) or counts.min() >= 1, "zeros are not stored"
    sizes = _sizes(indptr, tokens, counts)
    offsets = np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(sizes, axis=1)], axis=1)
    return EncodedLayer(*map(Rows, _encode(indptr, tokens, counts, offsets[:, -1]), offsets))


def decode_layer(
    layer: EncodedLayer, rows: NDArray[np.int64], first: NDArray[np.int64], keep: NDArray[np.bool_]
) -> tuple[Offsets, NDArray[np.int32], NDArray[np.int32]]:
    """Decode some rows to CSR (indptr int64, tokens int32 ascending, counts int32).

    `first` is the first token of the organism of each of `rows`; only tokens with `keep` come back. Raises `ValueError`
    when a row's columns disagree or a token lies outside the vocabulary: the shard is damaged or foreign.
    """
    columns = (part for column in layer for part in column)
    indptr, tokens, counts, broken = _decode(*columns, rows, first, *Kept.of(keep, np.unique(first)))
    check_decoded(broken)
    return indptr, tokens, counts


def check_decoded(broken: int) -> None:
    """Raise `ValueError` for a row that `decode_row` could not read (−1: none)."""
    if broken >= 0:
        raise ValueError(f"row {broken} of the block does not decode: the shard is damaged or not of this corpus")


def take_rows(rows: Rows, order: NDArray[np.int64]) -> Rows:
    """The rows of bytes in another order."""
    return Rows(*_take(rows.bytes, rows.offsets, order))


def join_rows(parts: list[Rows]) -> Rows:
    """Rows of several blocks, one after another."""
    if not parts:
        return Rows(np.empty(0, np.uint8), np.zeros(1, np.int64))
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    joined = np.concatenate([part.bytes[part.offsets[0] : part.offsets[-1]] for part in parts])
    return Rows(joined, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))


@compiled
def _sizes(indptr: Any, tokens: Any, counts: Any) -> Any:  # pragma: no cover - compiled
    """Bytes of each row in the three columns."""
    sizes = np.zeros((3, len(indptr) - 1), np.int64)
    for row in range(len(indptr) - 1):
        last = -1
        for i in range(indptr[row], indptr[row + 1]):
            rare = tokens[i] >= BORDER
            if rare and last < BORDER - 1:
                last = BORDER - 1
            sizes[1 if rare else 0, row] += (MORE * (tokens[i] - last) + min(counts[i], MORE) - 1) // 255 + 1
            if counts[i] >= MORE:
                sizes[2, row] += (counts[i] - MORE) // 255 + 1
            last = tokens[i]
    return sizes


@compiled
def _encode(indptr: Any, tokens: Any, counts: Any, totals: Any) -> Any:  # pragma: no cover - compiled
    columns = (np.empty(totals[0], np.uint8), np.empty(totals[1], np.uint8), np.empty(totals[2], np.uint8))
    at = np.zeros(3, np.int64)
    for row in range(len(indptr) - 1):
        last = -1
        for i in range(indptr[row], indptr[row + 1]):
            rare = tokens[i] >= BORDER
            if rare and last < BORDER - 1:
                last = BORDER - 1
            code = MORE * (tokens[i] - last) + min(counts[i], MORE) - 1
            if rare:
                at[1] = _put(columns[1], at[1], code)
            else:
                at[0] = _put(columns[0], at[0], code)
            if counts[i] >= MORE:
                at[2] = _put(columns[2], at[2], counts[i] - MORE)
            last = tokens[i]
    return columns


@compiled
def _put(column: Any, at: int, value: int) -> int:  # pragma: no cover - compiled
    while value >= 255:
        column[at] = 255
        at += 1
        value -= 255
    column[at] = value
    return at + 1


@compiled
def decode_row(
    frequent: Any,
    rare: Any,
    more: Any,
    first: int,
    keep: Any,
    sure: Any,
    places: Any,
    small: Any,
    tokens: Any,
    counts: Any,
) -> Any:  # pragma: no cover - compiled
    """Decode a cell's bytes into `tokens` and `counts`, only tokens with `keep`; how many, and the sum of their counts.

    −1 and 0 where the row is broken.

    `tokens`, `places` (both int32) and `counts` (any type; `small` is the table `SMALL` in it) have room for as many
    genes as `frequent` and `rare` have bytes. For `keep` and `sure` see `Kept`.
    """
    before, border = first - 1, first + BORDER - 1
    if not (_is_sound(frequent, before, len(keep)) and _is_sound(rare, border, len(keep))):
        return -1, 0
    state = _codes(frequent, before, np.uint64(0), small, tokens, counts, places)
    n_frequent, last_frequent = np.int64(state & np.uint64(_FIELD)), np.int64(state >> np.uint64(40))
    state = _codes(rare, border, state, small, tokens, counts, places)
    n, last_rare = np.int64(state & np.uint64(_FIELD)), np.int64(state >> np.uint64(40))
    gaps: Any = 0
    for column, start, last in ((frequent, before, last_frequent), (rare, border, last_rare)):
        if len(column):
            if last >= len(keep):
                return -1, 0
            gaps += last - start
    if not _add_more(more, np.int64((state >> np.uint64(20)) & np.uint64(_FIELD)), places, counts):
        return -1, 0
    # A code's bytes add up to 5 · gap + min(count, 5) − 1, so no count has to be looked at.
    total = _sum(frequent) + _sum(rare) + _sum(more) - MORE * gaps + n
    if sure[first] == _EVERY:
        return n, total
    n, lost = _drop(keep, tokens, counts, n_frequent if sure[first] == _FREQUENT else 0, n)
    return n, total - lost


@compiled
def _sum(column: Any) -> int:  # pragma: no cover - compiled
    total = np.uint32(0)
    for byte in column:
        total += np.uint32(byte)
    return np.int64(total)  # type: ignore[return-value]


@compiled
def _is_sound(column: Any, before: int, n_genes: int) -> bool:  # pragma: no cover - compiled
    """Whether codes begin with a gap and end, and their tokens have no more than 24 bits (see `_STEP`)."""
    if not len(column):
        return True
    if column[0] < MORE or column[len(column) - 1] == 255:
        return False
    return before + len(column) * (255 // MORE) < 2**24 or before + _sum(column) // MORE < n_genes


@compiled
def _codes(
    column: Any, before: int, state: Any, small: Any, tokens: Any, counts: Any, places: Any
) -> Any:  # pragma: no cover - compiled
    """The inner loop: no branch, since the processor would guess wrong at every fifth gene, and three sums in one.

    Every byte writes, and is written over where its code goes on. `places` are those of the counts that have more.
    """
    state = (state & np.uint64(2**40 - 1)) | np.uint64(before) << np.uint64(40)
    for i in range(np.uint64(len(column))):
        byte = column[i]
        n, n_more = state & np.uint64(_FIELD), (state >> np.uint64(20)) & np.uint64(_FIELD)
        state += _STEP[byte]
        tokens[n] = np.int32(state >> np.uint64(40))
        counts[n] = small[byte]
        places[n_more] = np.int32(n)
    return state


@compiled
def _add_more(more: Any, n_more: int, places: Any, counts: Any) -> bool:  # pragma: no cover - compiled
    """Add the numbers of a row to the counts at `places`; False where there are not `n_more` whole ones."""
    n = 0
    for byte in more:
        n += byte != 255
    if n != n_more or (len(more) and more[len(more) - 1] == 255):
        return False
    n, value = 0, MORE
    for byte in more:
        value += byte
        counts[places[n]] = value
        if byte != 255:
            n, value = n + 1, MORE
    return True


@compiled
def _drop(keep: Any, tokens: Any, counts: Any, start: int, end: int) -> Any:  # pragma: no cover - compiled
    """Leave out what is not kept of [start, end); the new end, and the sum of the counts that are gone."""
    n = np.uint64(start)
    lost: Any = 0
    for i in range(np.uint64(start), np.uint64(end)):
        token, count, kept = tokens[i], counts[i], keep[tokens[i]]
        tokens[n], counts[n] = token, count
        n += np.uint64(kept)
        lost += np.int64(count) * (1 - np.int64(kept))
    return np.int64(n), lost


@compiled
def _decode(
    frequent: Any,
    frequent_at: Any,
    rare: Any,
    rare_at: Any,
    more: Any,
    more_at: Any,
    rows: Any,
    first: Any,
    keep: Any,
    sure: Any,
) -> Any:  # pragma: no cover - compiled
    room = 0
    for row in rows:
        room += frequent_at[row + 1] - frequent_at[row] + rare_at[row + 1] - rare_at[row]
    indptr = np.zeros(len(rows) + 1, np.int64)
    tokens, counts = np.empty(room + 1, np.int32), np.empty(room + 1, np.int32)
    places, small = np.empty(room + 1, np.int32), SMALL.astype(np.int32)
    for i in range(len(rows)):
        row, at = rows[i], indptr[i]
        n, _ = decode_row(
            frequent[frequent_at[row] : frequent_at[row + 1]],
            rare[rare_at[row] : rare_at[row + 1]],
            more[more_at[row] : more_at[row + 1]],
            first[i],
            keep,
            sure,
            places,
            small,
            tokens[at:],
            counts[at:],
        )
        if n < 0:
            return indptr, tokens, counts, row
        indptr[i + 1] = at + n
    return indptr, tokens[: indptr[-1]].copy(), counts[: indptr[-1]].copy(), -1


@compiled
def longest(offsets: Any, rows: Any) -> int:  # pragma: no cover - compiled
    """The most bytes that one of some rows has."""
    most = 0
    for row in rows:
        most = max(most, offsets[row + 1] - offsets[row])
    return most


@compiled
def _take(data: Any, offsets: Any, order: Any) -> Any:  # pragma: no cover - compiled
    new_offsets = np.zeros(len(order) + 1, np.int64)
    for i in range(len(order)):
        new_offsets[i + 1] = new_offsets[i] + offsets[order[i] + 1] - offsets[order[i]]
    out = np.empty(new_offsets[-1], np.uint8)
    for i in range(len(order)):
        out[new_offsets[i] : new_offsets[i + 1]] = data[offsets[order[i]] : offsets[order[i] + 1]]
    return out, new_offsets
