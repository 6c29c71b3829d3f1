"""Which genes counters disagree about, and why: differences per gene, by the traits of their annotation.

A gene's difference is the sum over cells of |counted − true| of its spliced + ambiguous and of its unspliced molecules
(kb's ambiguous are spliced, see `concord`). A reason that explains something has a far larger share of the difference
than of the molecules; reasons overlap, as genes have several traits.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.counting.concordance.compare import ALL_LAYERS, MATURE, Compared, matrix_of
from velocorpus.evaluation.table import Table, Value
from velocorpus.files import replacing
from velocorpus.reference.gene_traits import SIMPLE, TRAITS

UNKNOWN = "not annotated"
TOP = 20
REASON_COLUMNS = ("quantifier", "against", "reason", "n_genes", "of molecules", "of difference", "error")
REASON_NOTE = (
    "difference: sum over cells of |counted - true|, spliced + ambiguous and unspliced. A gene can have several"
    " reasons, so shares add up to more than 1. error: the difference of these genes over their true molecules."
)
GENE_COLUMNS = (
    "quantifier", "against", "gene_id", "symbol", "difference", "of difference", "mature", "true_mature", "unspliced",
    "true_unspliced", "reasons",
)  # fmt: skip
GENE_NOTE = "mature: spliced + ambiguous molecules of all shared cells. Reasons are told from the annotation alone."

Traits = Mapping[str, tuple[str, ...]]


def differing_genes(compared: Compared, traits: Traits, *, top: int = TOP) -> tuple[Table, Table]:
    """Two tables: each reason's share in what differs, and the `top` genes of each pair with their reasons.

    `traits` maps gene ids to their traits (`reference.gene_traits`), which may be none.
    """
    reasons: list[tuple[Value, ...]] = []
    genes: list[tuple[Value, ...]] = []
    for name, against in compared.pairs:
        a, b = compared.shared(name, against)
        difference, totals = np.zeros(b.n_vars), []
        for layer in (MATURE, names.UNSPLICED):
            x, y = matrix_of(a, layer), matrix_of(b, layer)
            assert x is not None
            assert y is not None  # both are refused when they are loaded without
            difference += _sum(abs(x - y))
            totals += [_sum(x), _sum(y)]
        true = totals[1] + totals[3]
        whole, molecules = max(difference.sum(), 1), max(true.sum(), 1)
        of = [traits.get(gene, (UNKNOWN,)) or (SIMPLE,) for gene in b.var_names]
        for reason in (*TRAITS, SIMPLE, UNKNOWN):
            has = np.array([reason in ours for ours in of])
            if has.any():
                shares = (float(true[has].sum() / molecules), float(difference[has].sum() / whole))
                error = float(difference[has].sum() / max(true[has].sum(), 1))
                reasons.append((name, against, reason, int(has.sum()), *shares, error))
        symbols = np.asarray(b.var.get(names.SYMBOL, b.var_names))
        # Ties by gene id, so that the same counts give the same table.
        for g in np.lexsort((b.var_names.to_numpy(dtype=str), -difference))[:top]:
            if difference[g]:
                row = (int(difference[g]), float(difference[g] / whole), *(int(total[g]) for total in totals))
                genes.append((name, against, b.var_names[g], str(symbols[g]), *row, ", ".join(of[g])))
    return (
        Table("Why counts differ", REASON_COLUMNS, tuple(reasons), REASON_NOTE),
        Table("Genes that differ most", GENE_COLUMNS, tuple(genes), GENE_NOTE),
    )


def draw(compared: Compared, path: Path, traits: Traits | None = None) -> None:
    """One panel a pair and layer: each point a gene, its total on both sides, plus 1, on log axes.

    With `traits` a gene has the colour of its first one.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    layers = (*names.LAYERS, ALL_LAYERS)
    size = (3 * len(layers), 3.4 * len(compared.pairs) + (0.3 if traits else 0))
    fig, axes = plt.subplots(len(compared.pairs), len(layers), figsize=size, squeeze=False, layout="constrained")
    kinds = (SIMPLE, *TRAITS) if traits is not None else (SIMPLE,)
    for (name, against), line in zip(compared.pairs, axes, strict=True):
        sides = compared.shared(name, against)[::-1]
        first = [((traits or {}).get(gene) or (SIMPLE,))[0] for gene in sides[0].var_names]
        for layer, panel in zip(layers, line, strict=True):
            matrices = [matrix_of(side, layer) for side in sides]
            panel.set(title=f"{name}: {layer}", xlabel=f"{against} (molecules + 1)", ylabel=f"{name} (molecules + 1)")
            if any(matrix is None for matrix in matrices):
                panel.text(0.5, 0.5, "no such layer", ha="center", transform=panel.transAxes)
                continue
            sums = [_sum(matrix) + 1 for matrix in matrices]
            top = float(max(s.max() for s in sums)) * 1.5
            panel.plot([1, top], [1, top], color="0.7", linewidth=1, zorder=0)
            for number, kind in enumerate(kinds):
                of_kind = np.array([one == kind for one in first])
                color = f"C{number}" if number or traits is None else "0.5"
                panel.scatter(*(s[of_kind] for s in sums), s=6, alpha=0.6, linewidths=0, color=color, label=kind)
            panel.set(xscale="log", yscale="log", xlim=(0.8, top), ylim=(0.8, top))
            panel.set_box_aspect(1)
    if traits is not None:
        handles, labels = axes[0][-1].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, markerscale=2)
    with replacing(path) as aside:
        fig.savefig(aside, dpi=120, metadata={"Software": None} if path.suffix == ".png" else None)
    plt.close(fig)


def _sum(matrix: sparse.csr_matrix | None) -> np.ndarray:
    """Each gene's total over the cells."""
    assert matrix is not None
    return np.asarray(matrix.sum(axis=0)).ravel()
