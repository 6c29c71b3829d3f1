"""Latent programs: what drives transcription along a linear path, a branching one or a cycle.

A study has a handful of programs, each an activity between 0 and 1 over latent time (hours) on every branch
of the study's topology. They are drawn anew for each study, so that a model can't learn them by heart.
"""

from dataclasses import dataclass

import numpy as np

TOPOLOGIES = ("linear", "branching", "cyclic")

# Latent time is cut into steps of this length (hours); branches begin and end on a step.
STEP = 0.05


@dataclass(frozen=True)
class Branch:
    """A stretch of latent time from node `start` to `end` (`STEP` hours apart), grown out of `parent`."""

    name: str
    parent: int | None
    start: int
    end: int
    is_end: bool


@dataclass(frozen=True)
class Programs:
    """The branches of a study and, per branch, its programs' activity: arrays (nodes, programs)."""

    topology: str
    branches: tuple[Branch, ...]
    activity: tuple[np.ndarray, ...]


def draw_programs(topology: str, *, n_programs: int, hours: tuple[float, float], rng: np.random.Generator) -> Programs:
    """Draw a study's programs; the path (or the cycle's period) takes `hours[0]` to `hours[1]` hours."""
    total = round(rng.uniform(*hours) / STEP)
    if topology == "linear":
        branches = (Branch("path", None, 0, total, True),)
        windows = _windows(n_programs, 0.0, total * STEP, rng)
        return Programs(topology, branches, (_on(windows, branches[0]),))
    if topology == "cyclic":
        branch = Branch("cycle", None, 0, total, False)
        phase = (np.arange(n_programs) + rng.uniform(-0.4, 0.4, n_programs)) / n_programs
        sharpness = rng.uniform(1.0, 5.0, n_programs)
        angle = 2 * np.pi * (np.arange(total + 1)[:, None] / total - phase)
        return Programs(topology, (branch,), (np.exp(sharpness * (np.cos(angle) - 1)),))
    if topology == "branching":
        return _branching(total, n_programs, rng)
    raise ValueError(f"topology {topology!r} is none of {', '.join(TOPOLOGIES)}")


def _branching(total: int, n_programs: int, rng: np.random.Generator) -> Programs:
    n_ends = 2 if rng.random() < 0.7 else 3
    fork = round(total * rng.uniform(0.35, 0.5))
    branches = (
        Branch("trunk", None, 0, fork, False),
        *(Branch(f"branch_{'abc'[i]}", 0, fork, total, True) for i in range(n_ends)),
    )
    # A third of the programs (at least one) runs everywhere; the others begin after the fork, each on one
    # branch only.
    n_shared = max(1, n_programs // 3)
    shared = _windows(n_shared, 0.0, total * STEP, rng)
    own = _windows(n_programs - n_shared, fork * STEP, total * STEP, rng, after=True)
    activity = []
    for index, branch in enumerate(branches):
        here = _on(own, branch)
        here[:, np.arange(n_programs - n_shared) % n_ends != index - 1] = 0.0
        activity.append(np.hstack([_on(shared, branch), here]))
    return Programs("branching", branches, tuple(activity))


def _windows(n: int, start: float, end: float, rng: np.random.Generator, *, after: bool = False) -> np.ndarray:
    """Windows (rise, fall, ramp) in hours, spaced with jitter; some on from the start unless `after`."""
    length = end - start
    position = (np.arange(n) + rng.uniform(0, 1, n)) / n
    if after:
        rise = start + length * 0.5 * rng.permutation(position)
        fall = rise + length * rng.uniform(0.4, 1.2, n)
    else:
        rise = start + length * (1.3 * position - 0.4)
        fall = rise + length * rng.uniform(0.3, 0.8, n)
    return np.stack([rise, fall, rng.uniform(1.0, 5.0, n)])


def _on(windows: np.ndarray, branch: Branch) -> np.ndarray:
    hours = np.arange(branch.start, branch.end + 1)[:, None] * STEP
    rise, fall, ramp = windows
    return _ramp((hours - rise) / ramp) - _ramp((hours - fall) / ramp)


def _ramp(x: np.ndarray) -> np.ndarray:
    """0 before 0, 1 after 1, a cubic between: so a branch's own programs are exactly off at the fork."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
