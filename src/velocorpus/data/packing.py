"""Rows of counts to packed or padded tokens, cut where a cell has too many genes: one compiled pass for a whole batch.

`pack_csr` takes cells in memory, `Packer` a shard's bytes, decoded on the way, so that nothing in between is ever
written. Both cut by the same policy:

- `top`: the highest counts stay, ties go to the smaller token (the gene that is more frequent in the corpus);
- `sample`: a sample without replacement weighted by counts (Efraimidis & Spirakis 2006: the largest log(u) / count),
  where u is a hash of the batch's key, the cell's place in the batch and the gene.
"""

import sys
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from velocorpus.compiled import compiled
from velocorpus.corpus.encoding import SMALL, EncodedLayer, Kept, check_decoded, decode_row, longest
from velocorpus.corpus.reader import CSR
from velocorpus.data.batch import LayerTokens, PaddedTokens

Truncation = Literal["top", "sample"]

# Counts from here on share a bin of the histogram that finds the threshold of `top`.
_MANY = 255
# Batches that are held at a time by whoever trains rarely have more arrays than this.
_MOST_SPACES = 32


def pack_csr(csr: CSR, rows: NDArray[np.int64], *, max_genes: int, truncation: Truncation, key: int) -> LayerTokens:
    """The given rows of one layer. `key` (0 … 2⁶³ − 1) fixes what `sample` draws."""
    packed = _pack_csr(csr.indptr, csr.indices, csr.data, rows, max_genes, truncation == "sample", key)
    return LayerTokens(*map(torch.from_numpy, packed))


class Space:
    """Arrays that are used again once nobody holds them: fresh memory costs as much as all decoding does.

    For one thread.
    """

    def __init__(self) -> None:
        self._arrays: list[NDArray[Any]] = []

    def take(self, size: int, kind: type) -> NDArray[Any]:
        """Some array of at least this size, not set."""
        for array in self._arrays:
            # Held by the list, by `array` and by the call: by no tensor or view.
            if array.dtype == kind and len(array) >= size and sys.getrefcount(array) == 3:
                return array[:size]
        self._arrays = [array for array in self._arrays if sys.getrefcount(array) > 3][-_MOST_SPACES:]
        self._arrays.append(np.empty(size, kind))
        return self._arrays[-1][:size]


class Packer:
    """One layer of `n_cells` cells of a batch, filled from the bytes of one block after another."""

    def __init__(
        self,
        n_cells: int,
        kept: Kept,
        space: Space,
        *,
        max_genes: int,
        truncation: Truncation,
        key: int,
        padded: bool,
    ) -> None:
        self._cut = max_genes, truncation == "sample", key
        self._kept, self._width, self._n = kept, max_genes if padded else 0, 0
        # Pages of a packed batch that are never written are never there.
        room = n_cells * max_genes
        self._genes, self._counts = space.take(room, np.int32), space.take(room, np.float32)
        self._offsets, self._totals = np.zeros(n_cells + 1, np.int64), np.empty(n_cells, np.float32)

    def add(self, layer: EncodedLayer, rows: NDArray[np.int64], first: NDArray[np.int64]) -> None:
        """The next cells: some rows of a block; only tokens that are kept come out, and only they count in `totals_B`.

        `first` is the first token of the organism of each of `rows`. Raises `ValueError` where a row's columns disagree
        or a token lies outside the vocabulary.
        """
        columns = *layer.frequent, *layer.rare, *layer.more
        out = self._genes, self._counts, self._offsets, self._totals
        check_decoded(_pack_encoded(*columns, rows, first, *self._kept, *self._cut, self._n, self._width, *out))
        self._n += len(rows)

    def tokens(self) -> LayerTokens:
        """What was added, packed."""
        end = self._offsets[-1]
        packed = self._genes[:end], self._counts[:end], self._offsets, self._totals
        return LayerTokens(*map(torch.from_numpy, packed))

    def padded(self) -> PaddedTokens:
        """What was added, padded."""
        shape = -1, self._width
        padded = self._genes.reshape(shape), self._counts.reshape(shape), np.diff(self._offsets), self._totals
        return PaddedTokens(*map(torch.from_numpy, padded))


@compiled
def _pack_csr(
    indptr: Any, indices: Any, data: Any, rows: Any, most: int, sample: bool, key: int
) -> Any:  # pragma: no cover - compiled
    room = 0
    for row in rows:
        room += min(most, indptr[row + 1] - indptr[row])
    genes, counts = np.empty(room, np.int32), np.empty(room, np.float32)
    offsets, totals = np.zeros(len(rows) + 1, np.int64), np.empty(len(rows), np.float32)
    longest_row = longest(indptr, rows)
    tokens, values = np.empty(longest_row, np.int32), np.empty(longest_row, np.float32)
    for i in range(len(rows)):
        a, b = indptr[rows[i]], indptr[rows[i] + 1]
        totals[i] = data[a:b].sum()
        tokens[: b - a], values[: b - a] = indices[a:b], data[a:b]
        n = _cut(tokens, values, b - a, most, sample, _mixed(key, i))
        at, offsets[i + 1] = offsets[i], offsets[i] + n
        genes[at : at + n], counts[at : at + n] = tokens[:n], values[:n]
    return genes, counts, offsets, totals


@compiled
def _pack_encoded(
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
    most: int,
    sample: bool,
    key: int,
    place: int,
    width: int,
    genes: Any,
    counts: Any,
    offsets: Any,
    totals: Any,
) -> int:  # pragma: no cover - compiled
    """Cells `place`, … of the batch; the row that is broken, or −1. `width` is 0 where nothing is padded."""
    room = longest(frequent_at, rows) + longest(rare_at, rows)
    tokens, values = np.empty(room, np.int32), np.empty(room, np.float32)
    places, small = np.empty(room, np.int32), SMALL.astype(np.float32)
    for i in range(len(rows)):
        row, cell = rows[i], place + i
        columns = (
            frequent[frequent_at[row] : frequent_at[row + 1]],
            rare[rare_at[row] : rare_at[row + 1]],
            more[more_at[row] : more_at[row + 1]],
        )
        start = cell * width if width else offsets[cell]
        # A cell is decoded and cut where it will stand, and over the places of the next ones while it is too long; the
        # last cells, which may not find room for that, elsewhere.
        inside = start + room <= len(genes)
        own_genes, own_counts = (genes[start:], counts[start:]) if inside else (tokens, values)
        n, totals[cell] = decode_row(*columns, first[i], keep, sure, places, small, own_genes, own_counts)
        if n < 0:
            return row
        n = _cut(own_genes, own_counts, n, most, sample, _mixed(key, cell))
        if not inside:
            genes[start : start + n], counts[start : start + n] = tokens[:n], values[:n]
        if width:
            genes[start + n : start + width], counts[start + n : start + width] = 0, 0
        offsets[cell + 1] = offsets[cell] + n
    return -1


@compiled
def _cut(genes: Any, counts: Any, n: int, most: int, sample: bool, key: Any) -> Any:  # pragma: no cover - compiled
    """Leave at most `most` of the first `n` genes of a cell, in their order; how many."""
    if n <= most:
        return n
    if sample:
        worth = np.empty(n, np.float64)
        for i in range(n):
            worth[i] = np.log(_uniform(key, genes[i])) / counts[i]
        floor = np.partition(worth, n - most)[n - most]
        return _select(genes, counts, worth, floor, np.nextafter(floor, np.inf), most)
    values, kept, going = counts[:n], n, n - most
    while kept and going:  # of nearly every cell that is cut: the last genes with one molecule are all that goes
        kept -= 1
        going -= values[kept] == 1
    if not going:
        return _select_from(genes, counts, values, kept, n, 2, kept)
    seen = np.zeros(_MANY + 1, np.int64)
    for value in values:
        seen[int(min(value, _MANY))] += 1
    threshold, above = _MANY, 0
    while above + seen[threshold] <= most:
        above += seen[threshold]
        threshold -= 1
    if threshold == _MANY:
        least = np.partition(values, n - most)[n - most]
        return _select(genes, counts, values, least, np.nextafter(least, np.float32(np.inf)), most)
    return _select(genes, counts, values, threshold, threshold + 1, most)


@compiled
def _select(
    genes: Any, counts: Any, worth: Any, least: Any, next_least: Any, most: int
) -> int:  # pragma: no cover - compiled
    """Leave `most` genes: those worth `next_least` and more, and the first ones of those worth `least`."""
    ties = most
    for one in worth:
        ties -= one >= next_least
    tied = 0
    while ties:
        ties -= worth[tied] == least
        tied += 1
    n = _select_from(genes, counts, worth, 0, tied, least, 0)
    return _select_from(genes, counts, worth, tied, len(worth), next_least, n)


@compiled
def _select_from(
    genes: Any, counts: Any, worth: Any, start: int, end: int, least: Any, at: int
) -> int:  # pragma: no cover - compiled
    """Move those of the genes [start, end) that are worth `least` to `at`, … (≤ `start`); the end of them."""
    n = np.uint64(at)
    # Written in any case, and written over where the gene does not stay: no branch to guess wrong.
    for i in range(np.uint64(start), np.uint64(end)):
        stays = worth[i] >= least  # before it is written over: `worth` may be `counts`
        genes[n], counts[n] = genes[i], counts[i]
        n += np.uint64(stays)
    return np.int64(n)  # type: ignore[return-value]


@compiled
def _mixed(key: int, number: int) -> Any:  # pragma: no cover - compiled
    """A well mixed function of two numbers (the finaliser of SplitMix64, Steele et al. 2014)."""
    x = np.uint64(key) + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@compiled
def _uniform(key: Any, number: int) -> float:  # pragma: no cover - compiled
    """In (0, 1], 53 bits."""
    return (float(_mixed(key, number) >> np.uint64(11)) + 1.0) / 9007199254740992.0
