"""Are generated states like the cells that really come later? Judged on studies whose clock is known.

A study's time is cut into windows. The cells of a window are the starts; the cells a step later are where they should
arrive. Each row of the table is a way to predict them, and its distance to them is compared with staying put, and with
the distance of two random halves of the later cells, which no prediction can beat.

Shape suffix legend: N = cells, G = genes, P = principal components.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from velocorpus import names
from velocorpus.corpus.reader import Corpus
from velocorpus.data.context import StudyContext, study_context
from velocorpus.errors import UserMistake
from velocorpus.evaluation.distances import energy_distance, sliced_wasserstein
from velocorpus.evaluation.table import Table
from velocorpus.model.pretrained import Pretrained
from velocorpus.simulate.truth import read_truth
from velocorpus.training.checkpoint import say
from velocorpus.training.finetune_trajectory import load_trajectory
from velocorpus.training.studies import LAYERS, dense, split_studies
from velocorpus.velocity.rollout import roll_out

N_WINDOWS = 6
N_COMPONENTS = 10
# Fewer cells in a window than this say nothing about a distribution.
MIN_CELLS = 10

STAY = "staying put"
HALVES = "two halves of the later cells"
OURS = "trajectory decoder"
MEAN = "mean"


@dataclass(frozen=True)
class Space:
    """Principal components of a study's log-normalised spliced and unspliced expression; distances are taken there."""

    mean_G: np.ndarray
    components_GP: np.ndarray

    @classmethod
    def of(cls, counts_NG2: np.ndarray) -> "Space":
        """The components of a study's own cells, raw counts (N, G, 2)."""
        x_NG = _log_normalised(counts_NG2)
        mean_G = x_NG.mean(0)
        _, _, components_PG = np.linalg.svd(x_NG - mean_G, full_matrices=False)
        return cls(mean_G, components_PG[:N_COMPONENTS].T)

    def project(self, counts_NG2: np.ndarray) -> np.ndarray:
        """Coordinates (N, P) of any cells with the same genes."""
        return (_log_normalised(counts_NG2) - self.mean_G) @ self.components_GP


@dataclass(frozen=True)
class Window:
    """Rows of the cells to start from, and of those that stand a step later on the same branches."""

    starts: np.ndarray
    later: np.ndarray


def windows(obs: pd.DataFrame, *, topology: str, step: float) -> list[Window]:
    """Cut a study's moving cells (`pseudotime`, `branch`, `stationary`) into windows with their later cells.

    `step` is a share of the time span. On a path, starts whose later cells would lie beyond its end are left out; after
    a trunk every branch counts as later.
    """
    time_N = obs[names.PSEUDOTIME].to_numpy(float)
    branch_N = obs[names.BRANCH].to_numpy(str)
    moving_N = ~obs["stationary"].to_numpy(bool)
    is_cycle = topology == "cyclic"
    low, high = (0.0 if is_cycle else time_N[moving_N].min()), time_N[moving_N].max()
    width = (high - low) / N_WINDOWS
    found = []
    for branch in sorted(set(branch_N)):
        for i in range(N_WINDOWS):
            start = low + i * width
            starts_N = moving_N & (branch_N == branch) & (time_N >= start) & (time_N < start + width)
            begin, end = start + step * (high - low), start + width + step * (high - low)
            if not is_cycle and end > high + 1e-9:
                continue
            later_N = moving_N & ((branch_N == branch) | (branch == "trunk"))
            shifted_N = begin + (time_N - begin) % (high - low) if is_cycle else time_N
            later_N &= (shifted_N >= begin) & (shifted_N < end)
            if min(starts_N.sum(), later_N.sum()) >= MIN_CELLS:
                found.append(Window(np.flatnonzero(starts_N), np.flatnonzero(later_N)))
    return found


def judge(
    study: str,
    counts_NG2: np.ndarray,
    found: Sequence[Window],
    predict: dict[str, Callable[[np.ndarray], np.ndarray]],
    *,
    seed: int,
) -> list[tuple[str, str, float, float]]:
    """(study, method, energy distance, sliced Wasserstein) to the later cells, means over windows.

    `predict[method]` takes rows and returns raw counts (n, G, 2) of the cells that it expects a step later.
    """
    rng = np.random.default_rng(seed)
    space = Space.of(counts_NG2)
    distances: dict[str, list[tuple[float, float]]] = {}
    for window in found:
        later = space.project(counts_NG2[window.later])
        half = rng.permutation(len(later))
        clouds = {STAY: space.project(counts_NG2[window.starts])}
        clouds |= {method: space.project(function(window.starts)) for method, function in predict.items()}
        pairs = {method: (cloud, later) for method, cloud in clouds.items()}
        pairs[HALVES] = (later[half[::2]], later[half[1::2]])
        for method, (a, b) in pairs.items():
            both = energy_distance(a, b), sliced_wasserstein(a, b, rng=np.random.default_rng(seed))
            distances.setdefault(method, []).append(both)
    return [(study, method, *np.mean(values, axis=0).tolist()) for method, values in distances.items()]


def judge_model(
    model: Pretrained, corpus: Corpus, truths: Sequence[Path | str], *, step: float = 0.2, seed: int = 0
) -> Table:
    """The table of a trajectory decoder over the corpus' test studies whose truths are given.

    The cells are those of the corpus (that passed its filter); the truth only says when each of them is.
    """
    encoder, decoder = load_trajectory(model)
    model.expect_genes(corpus.genes)
    known = [read_truth(path) for path in truths]
    clock = pd.concat([truth.obs for truth in known])
    topology = {str(truth.uns[names.UNS]["study"]): str(truth.uns[names.UNS]["topology"]) for truth in known}
    kept, every_gene = model.genes.kept, np.arange(len(model.genes))
    rows: list[tuple[str, str, float, float]] = []
    for study, cells in split_studies(corpus, "test").items():
        ids = cells.obs["cell_id"].to_pylist()
        if study not in topology or not set(ids) <= set(clock.index):
            say(f"evaluate trajectory: study {study} is left out: its truth is not given")
            continue
        context = study_context(*(cells.layers[layer] for layer in LAYERS))
        counts_NG2 = dense(cells, np.arange(len(cells)), every_gene).astype(np.int32)

        def ours(starts: np.ndarray, context: StudyContext = context, counts: np.ndarray = counts_NG2) -> np.ndarray:
            *_, last = roll_out(encoder, decoder, context, counts[starts], n_steps=1, step=step, seed=seed)
            return last.counts_BG2[:, kept]

        found = windows(clock.loc[ids], topology=topology[study], step=step)
        if not found:
            say(
                f"evaluate trajectory: study {study} is left out: no window has {MIN_CELLS} cells and {MIN_CELLS} later"
            )
            continue
        rows += judge(study, counts_NG2[:, kept], found, {OURS: ours}, seed=seed)
    if not rows:
        raise UserMistake(
            "No test study of the corpus has a truth among those given; give truth.h5ad of its test studies."
        )
    return trajectory_table(rows, step=step)


def trajectory_table(rows: Sequence[tuple[str, str, float, float]], *, step: float) -> Table:
    """The table of all judged studies and their mean; each distance also as a ratio to staying put in that study."""
    judged = pd.DataFrame(rows, columns=["study", "prediction", "energy distance", "sliced Wasserstein"])
    stay = judged[judged["prediction"] == STAY].set_index("study")
    for distance in ("energy distance", "sliced Wasserstein"):
        judged[f"{distance} / staying"] = judged[distance] / stay[distance].reindex(judged["study"]).to_numpy()
    mean = judged.drop(columns="study").groupby("prediction", sort=False).mean().reset_index()
    mean.insert(0, "study", MEAN)
    return Table(
        title="Trajectory decoder: generated cells against the cells that really come later, studies never seen",
        columns=tuple(judged.columns),
        rows=tuple(map(tuple, pd.concat([judged, mean]).itertuples(index=False))),
        note=f"One step is {step:g} of the study's time span. Lower is better; {HALVES} are the floor.",
    )


def _log_normalised(counts_NG2: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000 of the common total, spliced and unspliced side by side: (N, 2 G)."""
    total_N = np.maximum(counts_NG2.sum((1, 2)), 1)
    return np.log1p(1e4 * counts_NG2 / total_N[:, None, None]).reshape(len(counts_NG2), -1)
