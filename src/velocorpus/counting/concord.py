"""Concordance: how far the counts of several quantifiers are from the truth, or from each other.

Everything is measured on the cells and genes that both sides have, and what one side lacks is counted beside it. The
error of a layer is the sum over cells and genes of |counted − true|, over the true total: 0 is perfect, 1 is as bad as
an empty matrix. A quantifier without an ambiguous layer (kb) counts those molecules as spliced, so it is to be held
against the others by `spliced + ambiguous`; `all` is the sum of the three.
"""

from collections.abc import Mapping
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
from velocorpus.files import open_text, replacing

ALL_LAYERS = "all"
MATURE = "spliced + ambiguous"
ALL_GENES = "all"
COLUMNS = (
    "quantifier", "against", "layer", "genes", "n_genes", "n_cells", "total", "true_total", "error",
    "pearson_cells", "pearson_genes", "cells_missing", "cells_extra", "genes_missing",
)  # fmt: skip
NOTE = (
    "error: sum of |counted - true| over the true total, on shared cells and genes. pearson_cells: median over cells of"
    " the correlation over genes; pearson_genes: median over genes of the correlation over cells. kb has no"
    " ambiguous molecules: it counts them as spliced, so its error is that of"
    " `spliced + ambiguous`. A dash: the quantifier has no such layer, or nothing varies."
)


def concord(
    counts: Mapping[str, Path], *, truth: Path | None = None, genes: Path | None = None, figure: Path | None = None
) -> Table:
    """Compare every counts file with the truth, or without one every pair of them (the first is `against`).

    `truth` is any h5ad with the layers; `genes` a table with gene_id and `difficulty`, by which the errors are broken
    down; `figure` a PNG to draw, gene totals of each against the truth. Refused: fewer than two things to compare,
    files that share no cell or no gene.
    """
    loaded = {name: _load(path) for name, path in counts.items()}
    if truth is not None:
        pairs = [(name, "truth") for name in loaded]
        loaded["truth"] = _load(truth)
    else:
        pairs = [(second, first) for first, second in combinations(loaded, 2)]
    if not pairs:
        raise UserMistake("One counts file and no truth: nothing to compare; give --truth, or --counts twice.")
    classes = _gene_classes(genes) if genes is not None else {}
    rows: list[tuple[Value, ...]] = []
    for name, against in pairs:
        rows += _compare(name, loaded[name], against, loaded[against], classes)
    if figure is not None:
        _draw(figure, pairs, loaded)
    return Table("Counts against the truth" if truth else "Counts against each other", COLUMNS, tuple(rows), NOTE)


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


def _compare(
    name: str, counted: ad.AnnData, against: str, true: ad.AnnData, classes: Mapping[str, str]
) -> list[tuple[Value, ...]]:
    cells = true.obs_names.intersection(counted.obs_names, sort=False)
    genes = true.var_names.intersection(counted.var_names, sort=False)
    if not len(cells) or not len(genes):
        what = "genes" if len(cells) else "cells"
        raise UserMistake(
            f"'{name}' and '{against}' share no {what} (like {counted.obs_names[0]} and {true.obs_names[0]},"
            f" {counted.var_names[0]} and {true.var_names[0]}); give counts of one library by the same genes."
        )
    lacking = (true.n_obs - len(cells), counted.n_obs - len(cells), true.n_vars - len(genes))
    a, b = counted[cells, genes], true[cells, genes]
    kind = np.array([classes.get(gene, "not in table") for gene in genes], dtype=object)
    groups = [(ALL_GENES, np.ones(len(genes), dtype=bool))]
    if classes:
        groups += [(str(label), kind == label) for label in sorted(set(kind))]
    rows: list[tuple[Value, ...]] = []
    for layer in (*names.LAYERS, MATURE, ALL_LAYERS):
        x, y = _matrix(a, layer), _matrix(b, layer)
        for label, chosen in groups:
            left = None if x is None else x[:, chosen]
            right = None if y is None else y[:, chosen]
            rows.append(
                (name, against, layer, label, int(chosen.sum()), len(cells), *_agreement(left, right), *lacking)
            )
    return rows


def _agreement(counted: sparse.csr_matrix | None, true: sparse.csr_matrix | None) -> tuple[Value, ...]:
    """Total, true total, error and both correlations; `None` for what a side without the layer leaves open."""
    total = None if counted is None else int(counted.sum())
    true_total = None if true is None else int(true.sum())
    if counted is None or true is None:
        return total, true_total, None, None, None
    error = float(abs(counted - true).sum() / true_total) if true_total else None
    return total, true_total, error, _median_pearson(counted, true), _median_pearson(counted.T, true.T)


def _matrix(adata: ad.AnnData, layer: str) -> sparse.csr_matrix | None:
    """One layer, float64; `None` where the quantifier has no such layer."""
    if layer in (ALL_LAYERS, MATURE):
        parts = names.LAYERS if layer == ALL_LAYERS else (names.SPLICED, names.AMBIGUOUS)
        present = [m for m in (_matrix(adata, name) for name in parts) if m is not None]
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


def _draw(path: Path, pairs: list[tuple[str, str]], loaded: Mapping[str, ad.AnnData]) -> None:
    """One panel a pair and layer: each point a gene, its total on both sides, plus 1, on log axes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    layers = (*names.LAYERS, ALL_LAYERS)
    fig, axes = plt.subplots(
        len(pairs), len(layers), figsize=(3 * len(layers), 3.4 * len(pairs)), squeeze=False, layout="constrained"
    )
    for (name, against), line in zip(pairs, axes, strict=True):
        cells = loaded[against].obs_names.intersection(loaded[name].obs_names, sort=False)
        genes = loaded[against].var_names.intersection(loaded[name].var_names, sort=False)
        for layer, panel in zip(layers, line, strict=True):
            x, y = (_matrix(loaded[side][cells, genes], layer) for side in (against, name))
            panel.set(title=f"{name}: {layer}", xlabel=f"{against} (molecules + 1)", ylabel=f"{name} (molecules + 1)")
            if x is None or y is None:
                panel.text(0.5, 0.5, "no such layer", ha="center", transform=panel.transAxes)
                continue
            sums = [np.asarray(m.sum(axis=0)).ravel() + 1 for m in (x, y)]
            top = float(max(s.max() for s in sums)) * 1.5
            panel.plot([1, top], [1, top], color="0.7", linewidth=1, zorder=0)
            panel.scatter(*sums, s=6, alpha=0.6, linewidths=0)
            panel.set(xscale="log", yscale="log", xlim=(0.8, top), ylim=(0.8, top))
            panel.set_box_aspect(1)
    with replacing(path) as aside:
        fig.savefig(aside, dpi=120, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(fig)
