"""Distances between two clouds of cells, of n and m points in the same d dimensions."""

import numpy as np


def sliced_wasserstein(a_nd: np.ndarray, b_md: np.ndarray, *, rng: np.random.Generator, n_slices: int = 128) -> float:
    """The mean 1-Wasserstein distance over random directions, in the unit of the coordinates (Rabin et al. 2011)."""
    directions_ds = rng.standard_normal((a_nd.shape[1], n_slices))
    directions_ds /= np.linalg.norm(directions_ds, axis=0)
    levels = (np.arange(256) + 0.5) / 256
    a_ls = np.quantile(a_nd @ directions_ds, levels, axis=0)
    b_ls = np.quantile(b_md @ directions_ds, levels, axis=0)
    return float(np.abs(a_ls - b_ls).mean())


def energy_distance(a_nd: np.ndarray, b_md: np.ndarray) -> float:
    """The energy distance, an MMD with the kernel −‖x − y‖ that needs no bandwidth (Székely and Rizzo 2013)."""
    return float(2 * _mean_distance(a_nd, b_md) - _mean_distance(a_nd, a_nd) - _mean_distance(b_md, b_md))


def _mean_distance(a_nd: np.ndarray, b_md: np.ndarray) -> float:
    squared_nm = (a_nd**2).sum(1)[:, None] + (b_md**2).sum(1)[None, :] - 2 * a_nd @ b_md.T
    return float(np.sqrt(np.maximum(squared_nm, 0)).mean())
