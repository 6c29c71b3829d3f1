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


def keep_cells(n_spliced: NDArray[Any], min_counts: int) -> NDArray[np.bool_]:
    """True for cells that stay; `n_spliced` are raw spliced sums per cell over all genes."""
    return np.asarray(n_spliced) >= min_counts


def keep_genes(n_spliced: NDArray[Any], min_gene_counts: int) -> NDArray[np.bool_]:
    """True for genes that stay; `n_spliced` are raw spliced sums per gene over the kept cells of all samples."""
    return np.asarray(n_spliced) >= min_gene_counts


def sums(matrix: Any, axis: int) -> NDArray[np.int64]:
    """Exact integer sums of a sparse matrix: per gene (`axis` 0) or per cell (`axis` 1)."""
    return np.asarray(matrix.sum(axis=axis, dtype=np.int64)).ravel()
