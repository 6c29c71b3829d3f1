"""Sequencing depth, which a cell's layers share: what it tells alone, and cells from which it is taken away.

Shape suffix legend: N = cells.
"""

import numpy as np

from velocorpus.corpus.reader import CSR, Cells
from velocorpus.evaluation.views import Pair
from velocorpus.training.studies import LAYERS, take

SHALLOWEST = 0.1  # share of the cells that are too shallow to be compared at equal depth


def depth(cells: Cells) -> np.ndarray:
    """Log totals of both layers, (N, 2): what a representation that knows depth alone would give."""
    return np.log1p(np.stack([cells.layers[name].totals for name in LAYERS], axis=1))


def depth_views(cells: Cells) -> Pair:
    """Views (N, 2) whose inner product ranks cells by how near their standardised log totals are."""
    x_N2 = depth(cells)
    a_N, b_N = ((x_N2 - x_N2.mean(axis=0)) / np.maximum(x_N2.std(axis=0), 1e-9)).T
    return np.stack([a_N, np.ones_like(a_N)], axis=1), np.stack([2 * b_N, -(b_N**2)], axis=1)


def equal_depth(cells: Cells, *, seed: int) -> Cells:
    """Cells as if each layer had been sequenced until every one had the same total in it.

    The total is that of the cell at the quantile `SHALLOWEST`; cells below it in a layer are left out. Molecules are
    drawn without replacement.
    """
    totals = {name: int(np.quantile(cells.layers[name].totals, SHALLOWEST)) for name in LAYERS}
    deep_N = np.all([cells.layers[name].totals >= total for name, total in totals.items()], axis=0)
    cells = take(cells, np.flatnonzero(deep_N))
    rng = np.random.default_rng(seed)
    layers = {}
    for name, total in totals.items():
        csr = cells.layers[name]
        bounds = zip(csr.indptr[:-1], csr.indptr[1:], strict=True)
        drawn = [rng.multivariate_hypergeometric(csr.data[a:b], total, method="marginals") for a, b in bounds]
        left = np.concatenate([np.zeros(0, np.int64), *drawn]).astype(np.int32)
        stays = left > 0
        kept_before = np.concatenate([[0], np.cumsum(stays)])
        layers[name] = CSR(kept_before[csr.indptr], csr.indices[stays], left[stays], csr.n_genes)
    return Cells(cells.obs, layers, cells.unmapped)
