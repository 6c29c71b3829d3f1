import numpy as np
import pytest

from velocorpus.cells.calling import call_cells
from velocorpus.errors import UserMistake


def droplets(rng, n_cells, n_empty, cell_mean, empty_mean):
    """Totals of cells (log-normal) and of empty droplets (Poisson), cells first."""
    cells = rng.lognormal(np.log(cell_mean), 0.5, n_cells).astype(int)
    return np.concatenate([cells, rng.poisson(empty_mean, n_empty)])


@pytest.mark.parametrize(("cell_mean", "empty_mean"), [(5000, 20), (2000, 50), (800, 15)])
@pytest.mark.parametrize("n_cells", [60, 1500])
def test_cells_are_told_from_empty_droplets(cell_mean, empty_mean, n_cells):
    rng = np.random.default_rng(5)
    totals = droplets(rng, n_cells, 20_000, cell_mean, empty_mean)
    called = call_cells(totals)
    truly = np.arange(totals.size) < n_cells
    assert (called.is_cell & truly).sum() >= 0.97 * n_cells
    assert (called.is_cell & ~truly).sum() <= 0.02 * n_cells


def test_without_empty_droplets_nearly_all_are_cells():
    totals = droplets(np.random.default_rng(5), 300, 0, 5000, 0)
    assert call_cells(totals).is_cell.mean() > 0.9


def test_order_does_not_matter():
    rng = np.random.default_rng(7)
    totals = droplets(rng, 200, 3000, 2000, 20)
    shuffled = rng.permutation(totals.size)
    assert np.array_equal(call_cells(totals[shuffled]).is_cell, call_cells(totals).is_cell[shuffled])


def test_too_few_barcodes_are_refused():
    with pytest.raises(UserMistake, match="Only 3 barcodes have 10 molecules"):
        call_cells(np.array([50, 60, 70, 2, 1]))
