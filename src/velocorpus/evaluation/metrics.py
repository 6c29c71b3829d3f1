"""How predictions are scored. Everything here is arrays in, figures out.

Velocity. A gene's time scale is free, and a few large genes hold most of the squared velocity: so the cosine between
true and predicted velocity of a cell is given raw, z-scaled (every gene over the truth's standard deviation) and
rescaled (truth and prediction each over their own root mean square). Genes at rest in truth are left out of all, cells
at rest too, and both are counted. A gene that a method does not fit counts as no movement in its row, and methods are
also compared on one method's own genes.

Shape suffix legend: N = cells, G = genes.
"""

from dataclasses import dataclass

import numpy as np

# Below this share of the median gene's velocity (relative to its mean expression) a gene is at rest.
GENE_AT_REST = 0.05
# Below this share of the median cell's z-scaled speed a cell is at rest.
CELL_AT_REST = 0.05


@dataclass(frozen=True)
class Moving:
    """Which genes and cells have a direction in truth."""

    genes_G: np.ndarray  # bool
    cells_N: np.ndarray  # bool


@dataclass(frozen=True)
class VelocityScores:
    """Scores over moving cells and some genes."""

    cosine_raw: float
    cosine_z: float
    cosine_rescaled: float
    spearman: float  # per gene, median
    sign: float  # share of moving (cell, gene) pairs with the right sign
    n_genes: int


def moving(velocity_NG: np.ndarray, mean_G: np.ndarray) -> Moving:
    """Tell what moves in truth; `mean_G` is each gene's mean expression in the unit of the velocity."""
    rms_G = np.sqrt((velocity_NG.astype(float) ** 2).mean(axis=0))
    rate_G = rms_G / np.maximum(mean_G, 1e-9)
    alive_G = (rate_G > 1e-6) & (mean_G > 1e-3)
    genes_G = alive_G & (rate_G > GENE_AT_REST * np.median(rate_G[alive_G])) if alive_G.any() else alive_G
    if not genes_G.any():
        return Moving(genes_G, np.zeros(len(velocity_NG), bool))
    speed_N = np.linalg.norm(velocity_NG[:, genes_G] / rms_G[genes_G], axis=1)
    return Moving(genes_G, speed_N > CELL_AT_REST * np.median(speed_N))


def score_velocity(
    predicted_NG: np.ndarray, true_NG: np.ndarray, genes_G: np.ndarray, cells_N: np.ndarray
) -> VelocityScores:
    """Score predictions (NaN = not fitted, taken as 0) at some genes and cells."""
    at = np.ix_(np.flatnonzero(cells_N), np.flatnonzero(genes_G))
    if at[0].size == 0 or at[1].size == 0:
        nan = float("nan")
        return VelocityScores(nan, nan, nan, nan, nan, 0)
    predicted, true = np.nan_to_num(predicted_NG[at]).astype(float), true_NG[at].astype(float)
    deviation = np.maximum(true.std(axis=0), 1e-12)
    own = np.sqrt((predicted**2).mean(axis=0))
    own = np.where(own > 0, own, 1)
    true_own = np.maximum(np.sqrt((true**2).mean(axis=0)), 1e-12)
    large = np.abs(true) > 0.1 * deviation
    right = np.sign(predicted) == np.sign(true)
    return VelocityScores(
        cosine_rows(predicted, true),
        cosine_rows(predicted / deviation, true / deviation),
        cosine_rows(predicted / own, true / true_own),
        float(np.median(spearman_columns(predicted, true))),
        float(right[large].mean()) if large.any() else float("nan"),
        int(genes_G.sum()),
    )


def cosine_rows(a_NG: np.ndarray, b_NG: np.ndarray) -> float:
    """Mean cosine of rows; a row of zeros has cosine 0."""
    norms = np.linalg.norm(a_NG, axis=1) * np.linalg.norm(b_NG, axis=1)
    return float(np.mean((a_NG * b_NG).sum(axis=1) / np.where(norms > 0, norms, 1)))


def pearson(a_NG: np.ndarray, b_NG: np.ndarray, axis: int) -> np.ndarray:
    """Correlation along an axis, NaN where either is constant."""
    a = a_NG - a_NG.mean(axis=axis, keepdims=True)
    b = b_NG - b_NG.mean(axis=axis, keepdims=True)
    norms = np.sqrt((a**2).sum(axis=axis) * (b**2).sum(axis=axis))
    return np.where(norms > 1e-9, (a * b).sum(axis=axis) / np.where(norms > 1e-9, norms, 1), np.nan)


def spearman_columns(a_NG: np.ndarray, b_NG: np.ndarray) -> np.ndarray:
    """Rank correlation of each column; 0 where the prediction is constant. Ties are broken by order, rare here."""
    found = pearson(_ranks(a_NG), _ranks(b_NG), axis=0)
    return np.where(a_NG.std(axis=0) > 0, np.nan_to_num(found), 0.0)


def _ranks(x_NG: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x_NG, axis=0, kind="stable"), axis=0, kind="stable").astype(float)
