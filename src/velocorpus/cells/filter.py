"""The source paper's filter, made precise: cells first, then genes.

A cell is kept when its raw spliced sum over all genes reaches `min_counts` (1000). A gene is kept when its
raw spliced sum over the kept cells of the whole corpus reaches `min_gene_counts` (1001: the paper removes
genes with ≤ 1000). A cell is judged by its own counts alone and a gene's total is a sum over samples, so
both stream: no two samples need to be in memory together. On one matrix the result equals
`scanpy.pp.filter_cells(min_counts=1000)` followed by scVelo's gene filter with `min_counts=1001`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from velocorpus.compiled import compiled


def keep_cells(n_spliced: NDArray[Any], min_counts: int) -> NDArray[np.bool_]:
    """True for cells that stay; `n_spliced` are raw spliced sums per cell over all genes."""
    return np.asarray(n_spliced) >= min_counts


def keep_genes(n_spliced: NDArray[Any], min_gene_counts: int) -> NDArray[np.bool_]:
    """True for genes that stay; `n_spliced` are raw spliced sums per gene over the kept cells of all samples."""
    return np.asarray(n_spliced) >= min_gene_counts


def cell_sums(matrix: Any, genes: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Exact counts per cell of a cells × genes CSR matrix, over all genes or those that are True in `genes`."""
    counted = np.ones(matrix.shape[1], bool) if genes is None else genes
    return np.asarray(_cell_sums(matrix.indptr, matrix.indices, matrix.data, counted))


def gene_sums(matrix: Any, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Exact counts per gene of a cells × genes CSR matrix over some rows, and in how many of them the gene is seen."""
    counts, seen = _gene_sums(matrix.indptr, matrix.indices, matrix.data, cells, matrix.shape[1])
    return counts, seen


@compiled
def _cell_sums(indptr: Any, indices: Any, data: Any, counted: Any) -> Any:  # pragma: no cover - compiled
    out = np.zeros(len(indptr) - 1, np.int64)
    for cell in range(len(out)):
        for i in range(indptr[cell], indptr[cell + 1]):
            out[cell] += data[i] * counted[indices[i]]
    return out


@compiled
def _gene_sums(indptr: Any, indices: Any, data: Any, cells: Any, n_genes: Any) -> Any:  # pragma: no cover - compiled
    out = np.zeros((2, n_genes), np.int64)
    for cell in cells:
        for i in range(indptr[cell], indptr[cell + 1]):
            out[0, indices[i]] += data[i]
            out[1, indices[i]] += 1
    return out
