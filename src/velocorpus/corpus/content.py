"""A digest of cells that does not depend on files, order or tokens: equal corpora are equal, however they
were built.

Each count contributes mix(gene, layer, count), a cell mixes its name with the sum of its contributions, and
the digest is the sum over cells: all modulo 2⁶⁴, in two lanes with different seeds (32 hexadecimal digits).
Sums make it independent of order and let parts be added. It compares builds; against forgery stands the
sha256 of the files.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.compiled import compiled

Lanes = NDArray[np.uint64]


def lanes_of(words: Iterable[str]) -> Lanes:
    """The first 16 bytes of each word's SHA-256 as two little-endian uint64: shape (words, 2)."""
    raw = b"".join(hashlib.sha256(word.encode()).digest()[:16] for word in words)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 2)


def content_sum(cells: Sequence[str], genes: Lanes, layers: dict[str, tuple[Any, Any, Any]]) -> Lanes:
    """The sum of some cells: two uint64. `cells` are ids, `genes` lanes by token, `layers` CSR by name."""
    sums_C2 = np.zeros((len(cells), 2), np.uint64)
    for layer, (indptr, indices, data) in layers.items():
        _add_layer(sums_C2, genes, np.uint64(names.LAYERS.index(layer)), indptr, indices, data)
    return _total(sums_C2, lanes_of(cells))


def add(parts: Iterable[Lanes]) -> Lanes:
    """The sum of several parts of a corpus."""
    total = np.zeros(2, np.uint64)
    for part in parts:
        total = total + part
    return total


def to_hex(lanes: Lanes) -> str:
    """The digest as 32 hexadecimal digits."""
    return "".join(f"{int(lane):016x}" for lane in lanes)


def from_hex(text: str) -> Lanes:
    """The lanes of a digest."""
    return np.array([int(text[:16], 16), int(text[16:], 16)], np.uint64)


@compiled
def mix(x: Any) -> Any:  # pragma: no cover - compiled
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def _add_layer(
    sums: Any, genes: Any, layer: Any, indptr: Any, indices: Any, data: Any
) -> None:  # pragma: no cover - compiled
    for row in range(len(indptr) - 1):
        left = right = np.uint64(0)
        for i in range(indptr[row], indptr[row + 1]):
            value = mix(np.uint64(data[i]) * np.uint64(4) + layer)
            left += mix(genes[indices[i], 0] + value)
            right += mix(genes[indices[i], 1] + value)
        sums[row, 0] += left
        sums[row, 1] += right


@compiled
def _total(sums: Any, cells: Any) -> Any:  # pragma: no cover - compiled
    out = np.zeros(2, np.uint64)
    for row in range(len(sums)):
        for lane in range(2):
            out[lane] += mix(cells[row, lane] ^ sums[row, lane])
    return out
