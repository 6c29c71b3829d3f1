import numpy as np
import pandas as pd

from velocorpus.evaluation.distances import energy_distance, sliced_wasserstein
from velocorpus.evaluation.trajectory import HALVES, STAY, judge, trajectory_table, windows


def test_energy_distance_of_two_points_is_twice_their_distance():
    assert energy_distance(np.zeros((3, 2)), np.full((4, 2), [3.0, 4.0])) == 10.0


def test_sliced_wasserstein_of_a_shift_is_its_mean_projection():
    cloud = np.random.default_rng(0).normal(size=(500, 1))
    shifted = sliced_wasserstein(cloud, cloud + 2.0, rng=np.random.default_rng(1))
    np.testing.assert_allclose(shifted, 2.0, rtol=1e-9)


def test_windows_hold_cells_one_step_apart():
    time = np.linspace(0, 10, 600)
    obs = pd.DataFrame({"pseudotime": time, "branch": "path", "stationary": False})
    found = windows(obs, topology="linear", step=0.2)
    assert len(found) == 4  # the last window and a piece of the one before have no cells a fifth later
    for window in found:
        np.testing.assert_allclose(time[window.later].mean() - time[window.starts].mean(), 2.0, atol=0.05)


def test_the_right_prediction_reaches_the_floor():
    rng = np.random.default_rng(0)
    time = np.repeat(np.linspace(0, 10, 60), 10)
    rate = np.stack([5 + 10 * time, 105 - 10 * time], 1)[:, :, None].repeat(2, 2)
    counts = rng.poisson(rate)
    obs = pd.DataFrame({"pseudotime": time, "branch": "path", "stationary": False})
    later = {"oracle": lambda rows: rng.poisson(rate[np.minimum(rows + 120, len(rows) + 480)])}
    rows = judge("a", counts, windows(obs, topology="linear", step=0.2), later, seed=0)
    table = trajectory_table(rows, step=0.2)
    ratio = {row[1]: row[4] for row in table.rows if row[0] == "a"}
    assert ratio[STAY] == 1.0
    assert ratio["oracle"] < 0.2
    assert ratio[HALVES] < 0.2
