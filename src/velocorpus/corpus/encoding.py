"""The byte code of a shard: a cell's genes as gaps and its counts, each number as bytes in which 255 means
"and go on".

A number v is v // 255 times the byte 255, then v % 255. Genes ascend, so a row stores the gap from the
token before; the first gap is from −1, relative to the first token of the cell's organism: a mouse cell
does not pay for the human genes. Frequent genes have small tokens, so nearly every gap and count is one
byte, and zstd does the rest. Cost: a token can be found only by reading its row from the start, which every
reader of whole cells does anyway.

Compiled by numba; `decode_tokens` and `decode_counts` are the one-line numpy twins that the contract states
and tests compare with. All buffers are (bytes uint8, offsets int64): row r owns bytes[offsets[r]:offsets[r
+ 1]].
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from velocorpus.compiled import compiled

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]


class Rows(NamedTuple):
    """Rows of bytes, one after another."""

    bytes: Bytes
    offsets: Offsets


class EncodedLayer(NamedTuple):
    """One layer of some cells as a shard stores it."""

    genes: Rows
    counts: Rows


def decode_tokens(genes: Bytes, first: int) -> NDArray[np.int64]:
    """The tokens of one cell: the contract's one line."""
    return first + np.cumsum(genes, dtype=np.int64)[genes != 255] - 1


def decode_counts(counts: Bytes) -> NDArray[np.int64]:
    """The counts of one cell: the contract's one line."""
    return np.diff(np.cumsum(counts, dtype=np.int64)[counts != 255], prepend=0)


def encode_layer(indptr: Any, tokens: Any, counts: Any) -> EncodedLayer:
    """Encode CSR rows: `tokens` ascending within a row and relative to the organism's first token, `counts` ≥
    1.
    """
    indptr = np.asarray(indptr, dtype=np.int64)
    gaps = np.diff(np.asarray(tokens, dtype=np.int64), prepend=np.int64(-1))
    starts = indptr[:-1][np.diff(indptr) > 0]
    gaps[starts] = np.asarray(tokens, dtype=np.int64)[starts] + 1
    if len(gaps):
        assert gaps.min() >= 1, "tokens must ascend within a cell"
        assert np.min(counts) >= 1, "zeros are not stored"
    return EncodedLayer(Rows(*_encode(indptr, gaps)), Rows(*_encode(indptr, np.asarray(counts, dtype=np.int64))))


def decode_layer(
    layer: EncodedLayer, rows: NDArray[np.int64], first: NDArray[np.int64], keep: NDArray[np.bool_]
) -> tuple[Offsets, NDArray[np.int32], NDArray[np.int32]]:
    """Decode some rows to CSR (indptr int64, tokens int32 ascending, counts int32).

    `first` is the first token of the organism of each of `rows`; only tokens with `keep` come back. Raises
    `ValueError` when a row's genes and counts disagree or a token lies outside the vocabulary: the shard is
    damaged or foreign.
    """
    indptr, tokens, counts, broken = _decode(*layer.genes, *layer.counts, rows, first, keep)
    if broken >= 0:
        raise ValueError(f"row {broken} of the block does not decode: the shard is damaged or not of this corpus")
    return indptr, tokens, counts


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
def _encode(indptr: Any, values: Any) -> Any:  # pragma: no cover - compiled
    offsets = np.zeros(len(indptr), np.int64)
    for row in range(len(indptr) - 1):
        size = 0
        for i in range(indptr[row], indptr[row + 1]):
            size += values[i] // 255 + 1
        offsets[row + 1] = offsets[row] + size
    out = np.empty(offsets[-1], np.uint8)
    at = 0
    for i in range(indptr[0], indptr[-1]):
        value = values[i]
        while value >= 255:
            out[at] = 255
            at += 1
            value -= 255
        out[at] = value
        at += 1
    return out, offsets


@compiled
def _decode(
    gene_bytes: Any, gene_offsets: Any, count_bytes: Any, count_offsets: Any, rows: Any, first: Any, keep: Any
) -> Any:  # pragma: no cover - compiled
    n_genes = len(keep)
    indptr = np.zeros(len(rows) + 1, np.int64)
    most = 0
    for i in range(len(rows)):
        most += gene_offsets[rows[i] + 1] - gene_offsets[rows[i]]
    tokens = np.empty(most, np.int32)
    counts = np.empty(most, np.int32)
    out = 0
    for i in range(len(rows)):
        row = rows[i]
        token = first[i] - 1
        c, c_end = count_offsets[row], count_offsets[row + 1]
        gap_open = False
        for g in range(gene_offsets[row], gene_offsets[row + 1]):
            byte = gene_bytes[g]
            token += byte
            gap_open = byte == 255
            if gap_open:
                continue
            count = 0
            while c < c_end and count_bytes[c] == 255:
                count += 255
                c += 1
            if c >= c_end or token >= n_genes or token < 0:
                return indptr, tokens, counts, row
            count += count_bytes[c]
            c += 1
            if keep[token]:
                tokens[out] = token
                counts[out] = count
                out += 1
        if gap_open or c != c_end:
            return indptr, tokens, counts, row
        indptr[i + 1] = out
    return indptr, tokens[:out].copy(), counts[:out].copy(), -1


@compiled
def _take(data: Any, offsets: Any, order: Any) -> Any:  # pragma: no cover - compiled
    new_offsets = np.zeros(len(order) + 1, np.int64)
    for i in range(len(order)):
        new_offsets[i + 1] = new_offsets[i] + offsets[order[i] + 1] - offsets[order[i]]
    out = np.empty(new_offsets[-1], np.uint8)
    for i in range(len(order)):
        out[new_offsets[i] : new_offsets[i + 1]] = data[offsets[order[i]] : offsets[order[i] + 1]]
    return out, new_offsets
