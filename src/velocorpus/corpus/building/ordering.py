"""Cells as a shard has them: tokens for genes, ascending within each cell."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from velocorpus.compiled import compiled

# Bits are found by de Bruijn multiplication: the top six bits of this times 2ᵏ are another number for each k.
_DE_BRUIJN = 0x03F79D71B4CB0A89
_BIT_OF = np.zeros(64, np.int32)
_BIT_OF[[((_DE_BRUIJN << bit) & (2**64 - 1)) >> 58 for bit in range(64)]] = np.arange(64)


def by_token(
    matrix: Any, rows: NDArray[np.int64], tokens: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[Any]]:
    """Some rows of a cells × genes CSR matrix as CSR by token: indptr int64, tokens int32 ascending, counts.

    `tokens` are those of the matrix' columns, each another one, from 0. Linear in the entries, where sorting is not.
    """
    indptr = np.concatenate([[0], np.cumsum(np.diff(matrix.indptr)[rows], dtype=np.int64)])
    return (indptr, *_scatter(matrix.indptr, matrix.indices, matrix.data, rows, tokens.astype(np.int32), indptr[-1]))


@compiled
def _scatter(
    indptr: Any, indices: Any, data: Any, rows: Any, tokens: Any, n: Any
) -> Any:  # pragma: no cover - compiled
    """Each row's tokens set bits of a map and leave their counts by token; walking the bits finds them in order."""
    width = tokens.max() + 1 if len(tokens) else 1
    found = np.zeros(width // 64 + 1, np.uint64)
    count_of = np.empty(width, data.dtype)
    out_tokens, out_counts = np.empty(n, np.int32), np.empty(n, data.dtype)
    at = 0
    for row in rows:
        for i in range(indptr[row], indptr[row + 1]):
            token = tokens[indices[i]]
            count_of[token] = data[i]
            found[token >> 6] |= np.uint64(1) << np.uint64(token & 63)
        for word in range(len(found)):
            left = found[word]
            found[word] = 0
            while left:
                lowest = left & (~left + np.uint64(1))
                token = 64 * word + _BIT_OF[(lowest * np.uint64(_DE_BRUIJN)) >> np.uint64(58)]
                out_tokens[at], out_counts[at] = token, count_of[token]
                at += 1
                left ^= lowest
    return out_tokens, out_counts
