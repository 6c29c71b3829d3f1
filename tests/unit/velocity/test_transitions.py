import numpy as np
import pandas as pd
import pytest

from velocorpus.data.transitions import CELL, NEXT, STEP, read_transitions, write_transitions
from velocorpus.errors import UserMistake
from velocorpus.velocity.transitions import TOLERANCE, transitions_from_truth


def some_cells(branches: list[str], times: np.ndarray) -> pd.DataFrame:
    ids = [f"s:{i}" for i in range(len(times))]
    return pd.DataFrame({"pseudotime": times, "branch": branches, "stationary": False, "study": "a"}, index=ids)


def test_next_cell_stands_one_step_later_on_a_path():
    obs = some_cells(["path"] * 300, np.linspace(0, 20, 300))
    table = transitions_from_truth(obs, topology="linear", study="a", pairs_per_cell=2, seed=0).to_pandas()
    gained = obs.loc[table[NEXT], "pseudotime"].to_numpy() - obs.loc[table[CELL], "pseudotime"].to_numpy()
    assert np.abs(gained / 20 - table[STEP]).max() <= TOLERANCE + 1e-6
    assert len(table) > 300


def test_time_wraps_on_a_cycle():
    obs = some_cells(["cycle"] * 300, np.linspace(0, 20, 300))
    table = transitions_from_truth(obs, topology="cyclic", study="a", pairs_per_cell=1, seed=0).to_pandas()
    late = obs.loc[table[CELL], "pseudotime"].to_numpy() > 19.5
    assert (obs.loc[table[NEXT], "pseudotime"].to_numpy()[late] < 19.5).all()


def test_no_pair_crosses_from_one_branch_to_another():
    times = np.concatenate([np.linspace(0, 10, 100), np.linspace(10, 20, 100), np.linspace(10, 20, 100)])
    obs = some_cells(["trunk"] * 100 + ["branch_a"] * 100 + ["branch_b"] * 100, times)
    table = transitions_from_truth(obs, topology="branching", study="a", pairs_per_cell=3, seed=0).to_pandas()
    here, there = obs.loc[table[CELL], "branch"].to_numpy(), obs.loc[table[NEXT], "branch"].to_numpy()
    assert ((here == there) | (here == "trunk")).all()
    assert set(there[here == "trunk"]) == {"trunk", "branch_a", "branch_b"}


def test_resting_cells_go_nowhere():
    obs = some_cells(["path"] * 100, np.linspace(0, 20, 100))
    obs.loc[obs.index[50:], "stationary"] = True
    table = transitions_from_truth(obs, topology="linear", study="a", pairs_per_cell=2, seed=0).to_pandas()
    assert set(table[CELL]) | set(table[NEXT]) <= set(obs.index[:50])


def test_same_seed_same_pairs(tmp_path):
    obs = some_cells(["path"] * 50, np.linspace(0, 20, 50))
    one, two = (transitions_from_truth(obs, topology="linear", study="a", pairs_per_cell=2, seed=4) for _ in range(2))
    write_transitions(tmp_path / "one.feather", one)
    assert read_transitions([tmp_path / "one.feather"]).equals(two)


def test_a_foreign_table_is_refused(tmp_path):
    pd.DataFrame({"x": [1]}).to_feather(tmp_path / "x.feather")
    with pytest.raises(UserMistake, match="a table of transitions has"):
        read_transitions([tmp_path / "x.feather"])
