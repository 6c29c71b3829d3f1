"""Rows of counts to packed tokens, cut where a cell has too many genes: one compiled pass for a whole batch.

`pack_csr` takes cells in memory, `pack_encoded` a shard's bytes, decoded on the way, so that nothing in between is ever
written. Both cut by the same policy:

- `top`: the highest counts stay, ties go to the smaller token (the gene that is more frequent in the corpus);
- `sample`: a sample without replacement weighted by counts (Efraimidis & Spirakis 2006: the largest log(u) / count),
  where u is a hash of the batch's key, the cell's place in the batch and the gene.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from velocorpus.compiled import compiled
from velocorpus.corpus.encoding import EncodedLayer
from velocorpus.corpus.reader import CSR
from velocorpus.data.batch import LayerTokens

Truncation = Literal["top", "sample"]

# Counts from here on share a bin of the histogram that finds the threshold of `top`.
_MANY = 255


def pack_csr(csr: CSR, rows: NDArray[np.int64], *, max_genes: int, truncation: Truncation, key: int) -> LayerTokens:
    """The given rows of one layer. `key` (0 … 2⁶³ − 1) fixes what `sample` draws."""
    return _tokens(*_pack_csr(csr.indptr, csr.indices, csr.data, rows, max_genes, truncation == "sample", key))


def pack_encoded(
    layer: EncodedLayer,
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    keep: NDArray[np.bool_],
    *,
    max_genes: int,
    truncation: Truncation,
    key: int,
    place: int = 0,
) -> LayerTokens:
    """The given rows of a shard's layer; only tokens with `keep` come out, and only they count in `totals_B`.

    `first` is the first token of the organism of each of `rows`, `place` the first row's place in the batch. Raises
    `ValueError` where a row's genes and counts disagree or a token lies outside the vocabulary.
    """
    sample = truncation == "sample"
    *packed, broken = _pack_encoded(*layer.genes, *layer.counts, rows, first, keep, max_genes, sample, key, place)
    if broken >= 0:
        raise ValueError(f"row {broken} of the block does not decode: the shard is damaged or not of this corpus")
    return _tokens(*packed)


def join(parts: list[LayerTokens]) -> LayerTokens:
    """The cells of several parts, one after another."""
    if len(parts) == 1:
        return parts[0]
    sizes = torch.cat([part.offsets.diff() for part in parts])
    return LayerTokens(
        torch.cat([part.genes_T for part in parts]),
        torch.cat([part.counts_T for part in parts]),
        torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
        torch.cat([part.totals_B for part in parts]),
    )


def _tokens(*arrays: NDArray[Any]) -> LayerTokens:
    return LayerTokens(*map(torch.from_numpy, arrays))


@compiled
def _pack_csr(
    indptr: Any, indices: Any, data: Any, rows: Any, most: int, sample: bool, key: int
) -> Any:  # pragma: no cover - compiled
    room = 0
    for i in range(len(rows)):
        room += min(most, indptr[rows[i] + 1] - indptr[rows[i]])
    genes, counts = np.empty(room + 1, np.int32), np.empty(room + 1, np.float32)  # one more: see `_cut`
    offsets, totals = np.zeros(len(rows) + 1, np.int64), np.empty(len(rows), np.float32)
    for i in range(len(rows)):
        a, b = indptr[rows[i]], indptr[rows[i] + 1]
        totals[i] = data[a:b].sum()
        offsets[i + 1] = _cut(indices[a:b], data[a:b], most, sample, _mixed(key, i), genes, counts, offsets[i])
    return genes[: offsets[-1]], counts[: offsets[-1]], offsets, totals


@compiled
def _pack_encoded(
    gene_bytes: Any,
    gene_offsets: Any,
    count_bytes: Any,
    count_offsets: Any,
    rows: Any,
    first: Any,
    keep: Any,
    most: int,
    sample: bool,
    key: int,
    place: int,
) -> Any:  # pragma: no cover - compiled
    n_genes, one, room, longest = np.uint64(len(keep)), np.uint64(1), 0, 0
    for i in range(len(rows)):
        size = gene_offsets[rows[i] + 1] - gene_offsets[rows[i]]
        room += min(most, size)
        longest = max(longest, size)
    genes, counts = np.empty(room + 1, np.int32), np.empty(room + 1, np.float32)  # one more: see `_cut`
    offsets, totals = np.zeros(len(rows) + 1, np.int64), np.empty(len(rows), np.float32)
    # A cell is decoded here first, where it stays in the processor's cache.
    of_cell, n_of_cell = np.empty(longest, np.int32), np.empty(longest, np.int32)
    for i in range(len(rows)):
        row = rows[i]
        token = np.uint64(first[i] - 1)  # 2⁶⁴ − 1 before the first gene: the first gap is from there
        # Unsigned, since numba would ask of every signed index whether it counts from the end.
        g, g_end = np.uint64(gene_offsets[row]), np.uint64(gene_offsets[row + 1])
        c, c_end = np.uint64(count_offsets[row]), np.uint64(count_offsets[row + 1])
        n, total = np.uint64(0), np.int64(0)
        while g < g_end:
            byte = gene_bytes[g]
            token += np.uint64(byte)
            g += one
            if byte == 255:
                if g == g_end:
                    return genes, counts, offsets, totals, row
                continue
            if c == c_end or token >= n_genes:
                return genes, counts, offsets, totals, row
            byte = count_bytes[c]
            c += one
            count = np.int32(byte)
            while byte == 255:
                if c == c_end:
                    return genes, counts, offsets, totals, row
                byte = count_bytes[c]
                c += one
                count += np.int32(byte)
            of_cell[n] = np.int32(token)
            n_of_cell[n] = count
            kept = keep[token]
            n += np.uint64(kept)
            total += kept * count
        if c != c_end:
            return genes, counts, offsets, totals, row
        totals[i] = total
        offsets[i + 1] = _cut(
            of_cell[:n], n_of_cell[:n], most, sample, _mixed(key, place + i), genes, counts, offsets[i]
        )
    return genes[: offsets[-1]], counts[: offsets[-1]], offsets, totals, -1


@compiled
def _cut(
    tokens: Any, values: Any, most: int, sample: bool, key: Any, genes: Any, counts: Any, at: int
) -> int:  # pragma: no cover - compiled
    """Copy at most `most` genes of a cell to `genes` and `counts`, from `at` on; where they end."""
    n = len(tokens)
    if n <= most:
        for i in range(n):
            genes[at + i] = tokens[i]
            counts[at + i] = values[i]
        return at + n
    if not sample:
        threshold, above = 1, 0  # of nearly every cell that is cut, genes with one molecule are all that goes
        for i in range(n):
            above += values[i] > 1
        if above > most:
            seen = np.zeros(_MANY + 1, np.int64)
            for i in range(n):
                seen[min(values[i], _MANY)] += 1
            threshold, above = _MANY, 0
            while above + seen[threshold] <= most:
                above += seen[threshold]
                threshold -= 1
        if threshold < _MANY:
            ties = most - above
            for i in range(n):
                value = values[i]
                tie = value == threshold
                # Written in any case, and written over where the gene does not stay: no branch to guess wrong.
                genes[at] = tokens[i]
                counts[at] = value
                at += (value > threshold) | (tie & (ties > 0))
                ties -= tie
            return at
    worth = np.empty(n, np.float64)
    for i in range(n):
        worth[i] = np.log(_uniform(key, tokens[i])) / values[i] if sample else values[i]
    floor = np.partition(worth, n - most)[n - most]
    ties = most
    for i in range(n):
        ties -= worth[i] > floor
    for i in range(n):
        if worth[i] == floor:
            ties -= 1
        if worth[i] > floor or (worth[i] == floor and ties >= 0):
            genes[at] = tokens[i]
            counts[at] = values[i]
            at += 1
    return at


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
