"""Pairs of cells for the generative decoder, by the simulator's clock or by walks over a velocity graph.

Pairs never cross studies. The table that they make is `data.transitions.SCHEMA`.
"""

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa

from velocorpus import names
from velocorpus.data.transitions import SCHEMA, STEPS
from velocorpus.errors import UserMistake
from velocorpus.simulate.truth import read_truth
from velocorpus.velocity.targets import quiet_scvelo

# A next cell may be this far from the wanted time, as a share of the span.
TOLERANCE = 0.02
_WALK = 10


def read_true_clock(paths: Sequence[Path | str]) -> tuple[pd.DataFrame, str]:
    """The cells (`pseudotime`, `branch`, `stationary`) of one simulated study's samples, and its topology."""
    truths = [read_truth(path) for path in paths]
    topologies = sorted({str(truth.uns[names.UNS]["topology"]) for truth in truths})
    if len(topologies) > 1:
        raise UserMistake(f"The truths are of several studies ({', '.join(topologies)}); give those of one study.")
    return pd.concat([truth.obs for truth in truths]), topologies[0]


def transitions_from_truth(obs: pd.DataFrame, *, topology: str, study: str, pairs_per_cell: int, seed: int) -> pa.Table:
    """Pairs by the simulator's clock.

    `obs` (of truth.h5ad, one study, any number of samples) has `pseudotime`, `branch`, `stationary`. From a trunk a
    cell goes on to any branch with a cell at the wanted time; on a cycle time wraps round; resting cells go nowhere.
    """
    rng = np.random.default_rng(seed)
    time_N = obs[names.PSEUDOTIME].to_numpy(float)
    branch_N = obs[names.BRANCH].to_numpy(str)
    moving = np.flatnonzero(~obs["stationary"].to_numpy(bool))
    if len(moving) < 2:
        raise UserMistake("The truth has fewer than two cells that move; there is no pair to learn from.")
    is_cycle = topology == "cyclic"
    span = time_N[moving].max() - (0.0 if is_cycle else time_N[moving].min())
    pairs = []
    for cell in np.repeat(moving, pairs_per_cell):
        step = rng.uniform(*STEPS)
        away_N = np.abs(_wanted(time_N, time_N[cell] + step * span, span if is_cycle else None))
        may_N = (away_N < TOLERANCE * span) & ((branch_N == branch_N[cell]) | _is_after(branch_N, branch_N[cell]))
        may = np.intersect1d(np.flatnonzero(may_N), moving)
        if len(may):
            pairs.append((cell, rng.choice(may), step))
    cells, nexts, steps = (np.array(column) for column in zip(*pairs, strict=True))
    return _table(obs.index.to_numpy(str), cells.astype(int), nexts.astype(int), steps, study)


def transitions_from_velocity(adata: ad.AnnData, *, study: str, pairs_per_cell: int, seed: int) -> pa.Table:
    """Pairs by random walks over scVelo's transition matrix; `step` is the difference of its velocity pseudotime.

    `adata` comes from `targets.fit_scvelo`. A walk ends where it has gained `STEPS[0]` of time; one that never does
    gives no pair, and a gain beyond `STEPS[1]` counts as that.
    """
    with quiet_scvelo() as scv:
        scv.tl.velocity_graph(adata, show_progress_bar=False, n_jobs=1)
        scv.tl.velocity_pseudotime(adata)
        matrix = scv.utils.get_transition_matrix(adata, self_transitions=False).tocsr()
    time_N = adata.obs["velocity_pseudotime"].to_numpy(float)
    rng = np.random.default_rng(seed)
    pairs = []
    for cell in np.repeat(np.arange(adata.n_obs), pairs_per_cell):
        at = cell
        for _ in range(_WALK):
            row = slice(matrix.indptr[at], matrix.indptr[at + 1])
            weight = matrix.data[row]
            if not weight.sum() > 0:
                break
            at = rng.choice(matrix.indices[row], p=weight / weight.sum())
            gained = time_N[at] - time_N[cell]
            if gained >= STEPS[0]:
                pairs.append((cell, at, min(gained, STEPS[1])))
                break
    if not pairs:
        raise UserMistake(
            f"Study {study}: no walk over its velocity graph gains time; its velocities give no direction."
        )
    cells, nexts, steps = (np.array(column) for column in zip(*pairs, strict=True))
    return _table(adata.obs_names.to_numpy(str), cells.astype(int), nexts.astype(int), steps, study)


def _wanted(time_N: np.ndarray, wanted: float, period: float | None) -> np.ndarray:
    away_N = time_N - wanted
    return away_N if period is None else (away_N + period / 2) % period - period / 2


def _is_after(branch_N: np.ndarray, branch: str) -> np.ndarray:
    """Every branch comes after the trunk; no other branch comes after a third."""
    return np.full(len(branch_N), branch == "trunk")


def _table(ids: np.ndarray, cells: np.ndarray, nexts: np.ndarray, steps: np.ndarray, study: str) -> pa.Table:
    columns = [ids[cells], ids[nexts], np.full(len(cells), study), steps.astype(np.float32)]
    return pa.Table.from_arrays([pa.array(c) for c in columns], schema=SCHEMA)
