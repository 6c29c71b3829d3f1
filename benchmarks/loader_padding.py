"""What the readers of `loader_peers.py` share: the cells as plain arrays, and one way to pad, so that work is equal."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np

LAYERS = ("spliced", "unspliced")
BATCH, WIDTH = 256, 2048  # cells of a batch, genes of a padded row
# ids and values of one batch: layers x cells x genes, zero where a cell has no more genes.
Padded = tuple[np.ndarray, np.ndarray]


@numba.njit(nogil=True, cache=True)
def fill(starts, ends, indices, data, below, places, ids, values):  # type: ignore[no-untyped-def]
    """Write entries `[starts[i], ends[i])` to row `places[i]`, columns less `below`: the highest, and zeros after."""
    width = ids.shape[1]
    for i in range(len(starts)):
        columns, counts = indices[starts[i] : ends[i]], data[starts[i] : ends[i]]
        row, row_values = ids[places[i]], values[places[i]]
        n = len(columns)
        if n <= width:
            for j in range(n):
                row[j] = np.int32(columns[j]) - np.int32(below)
            for j in range(n):
                row_values[j] = counts[j]
            row[n:] = 0
            row_values[n:] = 0
            continue
        threshold, ties = 0, -1
        while ties < 0:  # nearly always once: only genes with one molecule go
            threshold += 1
            above = 0
            for j in range(n):
                above += counts[j] > threshold
            ties = width - above
        at = 0
        for j in range(n):
            tie = counts[j] == threshold
            # Written in any case, and written over where the gene does not stay: no branch to guess wrong.
            row[at] = np.int32(columns[j]) - np.int32(below)
            row_values[at] = counts[j]
            at += (counts[j] > threshold) | (tie & (ties > 0))
            ties -= tie
            if at == width:
                break
    return ids, values


@numba.njit(nogil=True, cache=True)
def borders(indptr, indices, column):  # type: ignore[no-untyped-def]
    """Where each row's first entry at or after `column` stands."""
    found = np.empty(len(indptr) - 1, np.int64)
    for i in range(len(found)):
        found[i] = indptr[i] + np.searchsorted(indices[indptr[i] : indptr[i + 1]], column)
    return found


@cache
def _room() -> Padded:
    shape = (len(LAYERS), BATCH, WIDTH)
    return np.empty(shape, np.int32), np.empty(shape, np.float32)


def room(n_cells: int) -> Padded:
    """Arrays for a batch, the same ones each time: new ones would cost as much again, in page faults."""
    ids, values = _room()
    return ids[:, :n_cells], values[:, :n_cells]


def pad_layers(layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Padded:
    """A batch from one CSR a layer."""
    n = len(layers[0][0]) - 1
    ids, values = room(n)
    for layer, (indptr, indices, data) in enumerate(layers):
        fill(indptr[:-1], indptr[1:], indices, data, 0, np.arange(n), ids[layer], values[layer])
    return ids, values


def pad_joined(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray, n_genes: int) -> Padded:
    """A batch from one CSR in which the unspliced genes follow the spliced ones."""
    n = len(indptr) - 1
    ids, values = room(n)
    middle, rows = borders(indptr, indices, n_genes), np.arange(n)
    fill(indptr[:-1], middle, indices, data, 0, rows, ids[0], values[0])
    fill(middle, indptr[1:], indices, data, n_genes, rows, ids[1], values[1])
    return ids, values


def cells(folder: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Each layer's indptr, indices and data, memory-mapped."""
    return {
        layer: tuple(np.load(folder / "cells" / f"{layer}_{part}.npy", mmap_mode="r") for part in ("p", "i", "d"))
        for layer in LAYERS
    }


def n_genes_of(folder: Path) -> int:
    """Genes of a layer."""
    return int(json.loads((folder / "cells" / "about.json").read_text())["genes"])


def batches(order: np.ndarray, size: int = BATCH) -> Iterator[np.ndarray]:
    """Pieces of an order."""
    return (order[i : i + size] for i in range(0, len(order), size))


def joined_anndata(folder: Path) -> Any:
    """All cells as one AnnData, the unspliced genes after the spliced ones."""
    import anndata as ad
    from scipy import sparse

    n_genes = n_genes_of(folder)
    layers = [
        sparse.csr_matrix((d.astype(np.float32), i.astype(np.int32), p), shape=(len(p) - 1, n_genes))
        for p, i, d in cells(folder).values()
    ]
    return ad.AnnData(sparse.hstack(layers, format="csr"))
