"""The source paper's filter, made precise: cells first, then genes.

A cell is kept when its raw spliced sum over all genes reaches `min_counts` (1000). A gene is kept when its
raw spliced sum over the kept cells of the whole corpus reaches `min_gene_counts` (1001: the paper removes
genes with ≤ 1000). A cell is judged by its own counts alone and a gene's total is a sum over samples, so
both stream: no two samples need to be in memory together. On one matrix the result equals
`scanpy.pp.filter_cells(min_counts=1000)` followed by scVelo's gene filter with `min_counts=1001`. Further cuts
are off unless asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake


@dataclass(frozen=True)
class Cuts:
    """Further bounds of a cell's columns, named min_ or max_ and the column; a value at its bound passes."""

    min_unspliced_fraction: float | None = None
    max_unspliced_fraction: float | None = None
    max_mitochondrial_fraction: float | None = None
    max_doublet_score: float | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Cuts":
        """The cuts among other things: a manifest's `filter`, or a section of the configuration."""
        return cls(**{field.name: given.get(field.name) for field in fields(cls)})

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Cuts":
        """The cuts in words, `max_mitochondrial_fraction=0.2`; refused: other names, a name twice, no share of 1."""
        found: dict[str, float] = {}
        allowed = [field.name for field in fields(cls)]
        for text in texts:
            name, _, bound = text.partition("=")
            try:
                if name not in allowed or name in found or not 0 <= float(bound) <= 1:
                    raise ValueError
            except ValueError:
                raise UserMistake(
                    f"'{text}' is not a cut; write NAME=BOUND once, a number from 0 to 1, where NAME is one of "
                    f"{', '.join(allowed)}."
                ) from None
            found[name] = float(bound)
        return cls(**found)

    @property
    def applied(self) -> dict[str, float]:
        """The bounds that are set."""
        return {name: bound for name, bound in asdict(self).items() if bound is not None}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that they bound."""
        return tuple(dict.fromkeys(name.partition("_")[2] for name in self.applied))


NO_CUTS = Cuts()


def keep_cells(figures: Mapping[str, Any], min_counts: int, cuts: Cuts = NO_CUTS) -> NDArray[np.bool_]:
    """True for cells that stay.

    `figures` has `n_spliced`, the cells' raw spliced sums over all genes, and the columns of `cuts`. A value that is
    not known (NaN: a fraction of nothing, a score that was not computed) passes.
    """
    keep = np.asarray(figures[names.total_of(names.SPLICED)]) >= min_counts
    for name, bound in cuts.applied.items():
        values = np.asarray(figures[name.partition("_")[2]], np.float64)
        keep &= ~(values < bound if name.startswith("min_") else values > bound)
    return keep


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
        total = np.int64(0)
        for i in range(indptr[cell], indptr[cell + 1]):
            total += data[i] * counted[indices[i]]
        out[cell] = total
    return out


@compiled
def _gene_sums(indptr: Any, indices: Any, data: Any, cells: Any, n_genes: Any) -> Any:  # pragma: no cover - compiled
    out = np.zeros((2, n_genes), np.int64)
    for cell in cells:
        for i in range(indptr[cell], indptr[cell + 1]):
            out[0, indices[i]] += data[i]
            out[1, indices[i]] += 1
    return out
