"""Molecules have the stated means and noise."""

import numpy as np
import pandas as pd
import pytest

from velocorpus.simulate.counts import CountParameters, draw_molecules
from velocorpus.simulate.kinetics import SimulatedCells

QUIET = CountParameters(depth_log_sd=0, batch_depth_log_sd=0, batch_gene_log_sd=0, dispersion=0)


def make_cells(unspliced: float = 2.0, spliced: float = 8.0, n: int = 20000) -> SimulatedCells:
    u, s = np.full((n, 1), unspliced), np.full((n, 1), spliced)
    return SimulatedCells(pd.DataFrame(index=range(n)), u, s, np.zeros_like(u), np.zeros_like(u))


def test_without_noise_counts_are_poisson_of_the_abundance() -> None:
    drawn = draw_molecules(make_cells(), np.zeros(1), QUIET, np.random.default_rng(0)).layers
    assert drawn["spliced"].mean() == pytest.approx(8, rel=0.02)
    assert drawn["spliced"].toarray().var() == pytest.approx(8, rel=0.05)
    assert drawn["unspliced"].mean() == pytest.approx(2, rel=0.02)
    assert drawn["ambiguous"].nnz == 0


def test_dispersion_adds_the_square_of_the_mean() -> None:
    noisy = CountParameters(depth_log_sd=0, batch_depth_log_sd=0, batch_gene_log_sd=0, dispersion=0.5)
    spliced = draw_molecules(make_cells(), np.zeros(1), noisy, np.random.default_rng(0)).layers["spliced"]
    assert spliced.toarray().var() == pytest.approx(8 + 0.5 * 64, rel=0.05)


def test_the_ambiguous_share_is_taken_from_both_layers() -> None:
    drawn = draw_molecules(make_cells(), np.array([0.25]), QUIET, np.random.default_rng(0)).layers
    means = {layer: matrix.mean() for layer, matrix in drawn.items()}
    assert means == pytest.approx({"spliced": 6, "unspliced": 1.5, "ambiguous": 2.5}, rel=0.03)


def test_a_cells_depth_scales_all_its_counts() -> None:
    deep = CountParameters(depth_log_sd=0.5, batch_depth_log_sd=0, batch_gene_log_sd=0, dispersion=0)
    drawn = draw_molecules(make_cells(50, 200), np.zeros(1), deep, np.random.default_rng(0))
    total = (drawn.layers["spliced"] + drawn.layers["unspliced"]).toarray()[:, 0]
    assert np.corrcoef(total, drawn.depth)[0, 1] > 0.98


def test_two_samples_have_different_batch_factors() -> None:
    rng = np.random.default_rng(0)
    one, two = (draw_molecules(make_cells(n=5), np.zeros(1), CountParameters(), rng) for _ in range(2))
    assert one.batch != two.batch
