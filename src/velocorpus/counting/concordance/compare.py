"""Concordance: how far the counts of several quantifiers are from the truth, or from each other.

Everything is measured on the cells and genes that both sides have, and what one side lacks is counted beside it. The
error of a layer is the sum over cells and genes of |counted − true|, over the true total: 0 is perfect, 1 is as bad as
an empty matrix. A quantifier without an ambiguous layer (kb) counts those molecules as spliced, so it is to be held
against the others by `spliced + ambiguous`; `all` is the sum of the three.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.errors import UserMistake
from velocorpus.evaluation.table import Table, Value
from velocorpus.files import open_text

TRUTH = "truth"
ALL_LAYERS = "all"
MATURE = "spliced + ambiguous"
ALL_GENES = "all"
COLUMNS = (
    "quantifier", "against", "layer", "genes", "n_genes", "n_cells", "total", "true_total", "share", "true_share",
    "error", "pearson_cells", "pearson_genes", "cells_missing", "cells_extra", "genes_missing",
)  # fmt: skip
NOTE = (
    "error: sum of |counted - true| over the true total, on shared cells and genes. share: of all molecules, those of"
    " the layer (of unspliced: the unspliced fraction). pearson_cells: median over cells of the correlation over genes;"
    " pearson_genes: median over genes of the correlation over cells. kb has no ambiguous molecules: it counts them as"
    " spliced, so its error is that of `spliced + ambiguous`. A dash: the quantifier has no such layer, or nothing"
    " varies."
)


@dataclass(frozen=True, eq=False)
class Compared:
    """Counts by name, and which of them is held against which; `truth` is the name of the true ones."""

    loaded: Mapping[str, ad.AnnData]
    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, counts: Mapping[str, Path], truth: Path | None = None) -> "Compared":
        """Load every counts file; against the truth, or without one every pair of them (the first is `against`).

        `truth` is any h5ad with the layers. Refused: fewer than two things to compare.
        """
        loaded = {name: _load(path) for name, path in counts.items()}
        if truth is None:
            pairs = tuple((second, first) for first, second in combinations(loaded, 2))
        else:
            pairs = tuple((name, TRUTH) for name in loaded)
            loaded[TRUTH] = _load(truth)
        if not pairs:
            raise UserMistake("One counts file and no truth: nothing to compare; give --truth, or --counts twice.")
        return cls(loaded, pairs)

    def shared(self, name: str, against: str) -> tuple[ad.AnnData, ad.AnnData]:
        """Both on the cells and genes that both have, in the order of `against`. Refused: none in common."""
        counted, true = self.loaded[name], self.loaded[against]
        cells = true.obs_names.intersection(counted.obs_names, sort=False)
        genes = true.var_names.intersection(counted.var_names, sort=False)
        if not len(cells) or not len(genes):
            what = "genes" if len(cells) else "cells"
            raise UserMistake(
                f"'{name}' and '{against}' share no {what} (like {counted.obs_names[0]} and {true.obs_names[0]},"
                f" {counted.var_names[0]} and {true.var_names[0]}); give counts of one library by the same genes."
            )
        return counted[cells, genes], true[cells, genes]


def agreement(compared: Compared, genes: Path | None = None) -> Table:
    """How far the counts of each pair agree, per layer.

    `genes` is a table with gene_id and `difficulty`, by which everything is broken down.
    """
    classes = _gene_classes(genes) if genes is not None else {}
    rows = tuple(row for name, against in compared.pairs for row in _compare(compared, name, against, classes))
    with_truth = TRUTH in compared.loaded
    return Table("Counts against the truth" if with_truth else "Counts against each other", COLUMNS, rows, NOTE)


def _load(path: Path) -> ad.AnnData:
    adata = read_anndata(path, "counts file")
    for layer in (names.SPLICED, names.UNSPLICED):
        if layer not in adata.layers:
            raise UserMistake(f"{path} has no layer '{layer}'; give counts.h5ad files.")
    # The same library counted twice has two sample names in a corpus: its barcodes are what is one.
    barcodes = adata.obs_names.str.rpartition(":").get_level_values(2)
    if barcodes.is_unique:
        adata.obs_names = barcodes
    return adata


def _compare(compared: Compared, name: str, against: str, classes: Mapping[str, str]) -> list[tuple[Value, ...]]:
    counted, true = compared.loaded[name], compared.loaded[against]
    a, b = compared.shared(name, against)
    lacking = (true.n_obs - b.n_obs, counted.n_obs - b.n_obs, true.n_vars - b.n_vars)
    genes = b.var_names
    kind = np.array([classes.get(gene, "not in table") for gene in genes], dtype=object)
    groups = [(ALL_GENES, np.ones(len(genes), dtype=bool))]
    if classes:
        groups += [(str(label), kind == label) for label in sorted(set(kind))]
    rows: list[tuple[Value, ...]] = []
    every: list[Any] = [matrix_of(side, ALL_LAYERS) for side in (a, b)]
    for layer in (*names.LAYERS, MATURE, ALL_LAYERS):
        sides = [matrix_of(side, layer) for side in (a, b)]
        for label, chosen in groups:
            left, right = (None if side is None else side[:, chosen] for side in sides)
            totals = [None if side is None else int(side.sum()) for side in (left, right)]
            shares = [_over(total, whole[:, chosen].sum()) for total, whole in zip(totals, every, strict=True)]
            agreed = _agreement(left, right)
            rows.append((name, against, layer, label, int(chosen.sum()), b.n_obs, *totals, *shares, *agreed, *lacking))
    return rows


def _over(part: int | None, whole: float) -> float | None:
    return None if part is None or not whole else float(part / whole)


def _agreement(counted: sparse.csr_matrix | None, true: sparse.csr_matrix | None) -> tuple[Value, ...]:
    """Error and both correlations; `None` for what a side without the layer leaves open."""
    if counted is None or true is None:
        return None, None, None
    error = _over(abs(counted - true).sum(), true.sum())
    return error, _median_pearson(counted, true), _median_pearson(counted.T, true.T)


def matrix_of(adata: ad.AnnData, layer: str) -> sparse.csr_matrix | None:
    """One layer, or a sum of layers, cells × genes, float64; `None` where the quantifier has no such layer."""
    if layer in (ALL_LAYERS, MATURE):
        parts = names.LAYERS if layer == ALL_LAYERS else (names.SPLICED, names.AMBIGUOUS)
        present = [m for m in (matrix_of(adata, name) for name in parts) if m is not None]
        return sum(present[1:], start=present[0])
    if layer not in adata.layers:
        return None
    meta: Any = adata.uns.get(names.UNS, {})
    if layer == names.AMBIGUOUS and not bool(meta.get("ambiguous_present", True)):
        return None
    return sparse.csr_matrix(adata.layers[layer]).astype(np.float64)


def _median_pearson(x: sparse.spmatrix, y: sparse.spmatrix) -> float | None:
    """Median over rows of the correlation between x's and y's row, of rows in which both vary."""
    x, y = sparse.csr_matrix(x), sparse.csr_matrix(y)
    n = x.shape[1]
    if n < 2:
        return None

    def sums(matrix: sparse.csr_matrix) -> np.ndarray:
        return np.asarray(matrix.sum(axis=1)).ravel()

    sx, sy = sums(x), sums(y)
    covariance = n * sums(x.multiply(y).tocsr()) - sx * sy
    variance = (n * sums(x.multiply(x).tocsr()) - sx**2) * (n * sums(y.multiply(y).tocsr()) - sy**2)
    vary = variance > 0
    return float(np.median(covariance[vary] / np.sqrt(variance[vary]))) if vary.any() else None


def _gene_classes(path: Path) -> dict[str, str]:
    """Gene id → difficulty; empty where the table has no such column."""
    with open_text(path) as lines:
        rows = [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]
    if not rows or names.GENE_ID not in rows[0]:
        raise UserMistake(f"{path} has no column '{names.GENE_ID}'; give a gene table (TSV with a header).")
    if "difficulty" not in rows[0]:
        return {}
    gene, kind = rows[0].index(names.GENE_ID), rows[0].index("difficulty")
    return {row[gene]: row[kind] for row in rows[1:]}
