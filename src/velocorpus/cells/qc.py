"""The figures by which a cell is judged: totals, genes seen, unspliced and mitochondrial fraction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS, Cuts, cell_sums, keep_cells


def is_mitochondrial(symbols: Sequence[str]) -> NDArray[np.bool_]:
    """True for genes of the mitochondrial genome, known by their symbol (`MT-` in human, `mt-` in mouse)."""
    return np.array([str(symbol).startswith(("MT-", "mt-")) for symbol in symbols], dtype=bool)


def cell_figures(layers: Mapping[str, Any], symbols: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Per cell, from cells × genes CSR layers: `n_<layer>` and `n_genes_<layer>` (int64), and two fractions
    (float64).

    `unspliced_fraction` is unspliced / (spliced + unspliced); `mitochondrial_fraction` is the share of all
    counts that fall on mitochondrial genes. Both are NaN where the denominator is 0.
    """
    figures: dict[str, NDArray[Any]] = {}
    mitochondrial = is_mitochondrial(symbols)
    n_mitochondrial = n_all = np.zeros(len(next(iter(layers.values())).indptr) - 1, np.int64)
    for layer in names.LAYERS:
        matrix = layers[layer]
        figures[names.total_of(layer)] = total = cell_sums(matrix)
        figures[names.genes_of(layer)] = np.asarray(matrix.getnnz(axis=1), dtype=np.int64)
        n_all = n_all + total
        n_mitochondrial = n_mitochondrial + cell_sums(matrix, mitochondrial)
    spliced, unspliced = (figures[names.total_of(layer)] for layer in (names.SPLICED, names.UNSPLICED))
    figures["unspliced_fraction"] = _fraction(unspliced, spliced + unspliced)
    figures["mitochondrial_fraction"] = _fraction(n_mitochondrial, n_all)
    return figures


def kept_cells(
    adata: Any, min_counts: int, cuts: Cuts = NO_CUTS, figures: Mapping[str, NDArray[Any]] | None = None
) -> NDArray[np.int64]:
    """Rows (int64) of one sample's counts that pass the filter; `figures` are its `cell_figures`, where known."""
    if figures is None:
        figures = {names.total_of(names.SPLICED): cell_sums(adata.layers[names.SPLICED])}
        if cuts.applied:
            figures = cell_figures(adata.layers, adata.var[names.SYMBOL].tolist())
    scores = adata.obs.get(names.DOUBLET_SCORE, np.full(adata.n_obs, np.nan))
    return np.flatnonzero(keep_cells({**figures, names.DOUBLET_SCORE: scores}, min_counts, cuts))


def _fraction(part: Any, whole: Any) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
