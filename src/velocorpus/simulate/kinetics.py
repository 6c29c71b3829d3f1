"""The kinetics of transcription, splicing and degradation, integrated exactly along a study's programs.

    du/dt = α(t) − β u        ds/dt = β u − γ s

per gene, in hours. Between two nodes of latent time α is linear, and for a linear α the solution is a matrix
exponential (C. Van Loan, "Computing integrals involving the matrix exponential", 1978): one 4 × 4 matrix per
gene carries (u, s, α, Δα) over a step. Cells lie between nodes, where a cubic Hermite polynomial through both
nodes' values and derivatives is used.

Units: abundances are expected CAPTURED molecules of a cell of the study's typical depth, velocities captured
molecules per hour. An unspliced molecule of gene g is captured `capture[g]` times as often as a spliced one,
so in captured units ds/dt = (β / capture) u − γ s  and  du/dt = capture · efficiency · α − β u.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import expm

from velocorpus import names
from velocorpus.simulate.programs import STEP, Programs, draw_programs


@dataclass(frozen=True)
class KineticsParameters:
    """How studies differ, and what drives their genes."""

    n_programs: int = 6
    hours: tuple[float, float] = (24.0, 48.0)  # length of the path, or period of the cycle
    rate_log_sd: float = 0.3  # of β and γ, between studies
    capture_log_sd: float = 0.2  # of the capture of unspliced molecules, per gene and study
    level_log_sd: float = 0.3  # of a gene's transcription, between studies
    constitutive_share: float = 0.3  # genes in no program
    second_share: float = 0.3  # genes in a program that are in a second one too
    repressed_share: float = 0.2  # genes in a program that it switches off
    stationary_share: float = 0.05  # cells of a path's end that have come to rest
    molecules: tuple[float, float] = (
        1500.0,
        2400.0,
    )  # captured molecules of a typical cell; a study draws one


@dataclass(frozen=True)
class Study:
    """A study's genes (rates, capture, weights) and its states at the nodes of each branch.

    `alpha` (molecules/hour), `unspliced`, `spliced` (captured molecules): one array (nodes, genes) per
    branch. `efficiency` is the share of a cell's spliced molecules that is captured.
    """

    programs: Programs
    genes: pd.DataFrame
    efficiency: float
    alpha: tuple[np.ndarray, ...]
    unspliced: tuple[np.ndarray, ...]
    spliced: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class SimulatedCells:
    """Cells with known kinetics.

    `obs`: pseudotime (hours), branch, cell_type, stationary. Arrays (cells, genes) float64: abundances in
    captured molecules, velocities in captured molecules per hour.
    """

    obs: pd.DataFrame
    unspliced: np.ndarray
    spliced: np.ndarray
    velocity: np.ndarray
    velocity_unspliced: np.ndarray


def draw_study(genes: pd.DataFrame, topology: str, parameters: KineticsParameters, rng: np.random.Generator) -> Study:
    """Draw a study: its programs, its genes' part in them, how its rates deviate; then integrate.

    `genes`: from `genes.choose`. The study's `genes` has the rates that hold in it (`alpha_scale`, `beta`,
    `gamma`), `capture` and `weight_1` … `weight_n` on a base of `base`: α(t) = alpha_scale · (base + Σ
    weight_k · activity_k(t)).
    """
    p = parameters
    n = len(genes)
    programs = draw_programs(topology, n_programs=p.n_programs, hours=p.hours, rng=rng)
    table = genes.copy()
    table["alpha_scale"] *= np.exp(p.level_log_sd * rng.standard_normal(n))
    table["beta"] *= np.exp(p.rate_log_sd * rng.standard_normal(n))
    table["gamma"] *= np.exp(p.rate_log_sd * rng.standard_normal(n))
    table["capture"] = np.exp(p.capture_log_sd * rng.standard_normal(n))
    base, weights = _weights(n, p, rng)
    table["base"] = base
    for k in range(p.n_programs):
        table[f"weight_{k + 1}"] = weights[:, k]

    scale, beta, gamma, capture = (table[c].to_numpy() for c in ("alpha_scale", "beta", "gamma", "capture"))
    alpha = tuple(scale * (base + activity @ weights.T) for activity in programs.activity)
    unspliced, spliced = _integrate(programs, alpha, beta, gamma)
    totals = np.concatenate([(u * capture + s).sum(axis=1) for u, s in zip(unspliced, spliced, strict=True)])
    efficiency = float(rng.uniform(*p.molecules) / np.median(totals))
    return Study(
        programs=programs,
        genes=table,
        efficiency=efficiency,
        alpha=alpha,
        unspliced=tuple(efficiency * capture * u for u in unspliced),
        spliced=tuple(efficiency * s for s in spliced),
    )


def draw_cells(study: Study, n_cells: int, parameters: KineticsParameters, rng: np.random.Generator) -> SimulatedCells:
    """Draw cells evenly over all of a study's latent time; a share of the ends' cells rests (velocity 0)."""
    branches = study.programs.branches
    lengths = np.array([b.end - b.start for b in branches])
    edges = np.concatenate([[0], np.cumsum(lengths)])
    place = np.sort(rng.uniform(0, edges[-1], n_cells))
    which = np.searchsorted(edges, place, side="right") - 1
    ends = np.array([b.is_end for b in branches])
    stationary = ends[which] & (rng.random(n_cells) < parameters.stationary_share)
    within = np.where(stationary, lengths[which], place - edges[which])  # in steps from the branch's start

    beta, gamma, capture = (study.genes[c].to_numpy() for c in ("beta", "gamma", "capture"))
    u, s = np.empty((n_cells, len(beta))), np.empty((n_cells, len(beta)))
    alpha = np.empty_like(u)
    for index in range(len(branches)):
        here = which == index
        u[here], s[here], alpha[here] = _at(study, index, within[here])
    rest = alpha[stationary]
    u[stationary], s[stationary] = study.efficiency * capture * rest / beta, study.efficiency * rest / gamma
    velocity = (beta / capture) * u - gamma * s
    velocity_unspliced = study.efficiency * capture * alpha - beta * u
    for rate, outflow in ((velocity, gamma * s), (velocity_unspliced, beta * u)):
        # A gene at rest has the rounding error of two equal flows, which a z-scaled score would make much of.
        rate[np.abs(rate) <= 1e-9 * outflow] = 0.0
        rate[stationary] = 0.0

    start = np.array([b.start for b in branches])
    obs = pd.DataFrame(
        {
            names.PSEUDOTIME: (start[which] + within) * STEP,
            names.BRANCH: np.array([b.name for b in branches], dtype=object)[which],
            names.CELL_TYPE: _cell_types(study.programs, which, within / lengths[which]),
            "stationary": stationary,
        }
    )
    # Cells come in no order of time: position in the file must tell nothing.
    order = rng.permutation(n_cells)
    return SimulatedCells(
        obs.iloc[order].reset_index(drop=True), u[order], s[order], velocity[order], velocity_unspliced[order]
    )


def _weights(n: int, p: KineticsParameters, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Base (genes,) and weights (genes, programs); constitutive genes have 1 and 0."""
    kind = rng.random(n)
    first = rng.integers(p.n_programs, size=n)
    second = (first + rng.integers(1, p.n_programs, size=n)) % p.n_programs
    strength = np.exp(0.4 * rng.standard_normal((n, 2)))
    has_second = rng.random(n) < p.second_share
    is_repressed = rng.random(n) < p.repressed_share
    leak = rng.uniform(0.02, 0.3, n)

    constitutive = kind < p.constitutive_share
    base = np.where(constitutive | is_repressed, 1.0, leak)
    weights = np.zeros((n, p.n_programs))
    rows = np.arange(n)
    # A repressor takes a gene from 1 to its leak, never below nothing.
    weights[rows, first] = np.where(is_repressed, leak - 1.0, strength[:, 0])
    weights[rows[has_second], second[has_second]] = strength[has_second, 1]
    weights[constitutive] = 0.0
    return base, weights


def _integrate(
    programs: Programs, alpha: tuple[np.ndarray, ...], beta: np.ndarray, gamma: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    step = _step_matrices(beta, gamma)
    unspliced: list[np.ndarray] = []
    spliced: list[np.ndarray] = []
    for branch, alpha_b in zip(programs.branches, alpha, strict=True):
        if branch.parent is not None:
            u0, s0 = unspliced[branch.parent][-1], spliced[branch.parent][-1]
        elif programs.topology == "cyclic":
            u0, s0 = _periodic_start(alpha_b, step, beta, gamma)
        else:  # a path begins at rest
            u0, s0 = alpha_b[0] / beta, alpha_b[0] / gamma
        u, s = _march(u0, s0, alpha_b, step)
        unspliced.append(u)
        spliced.append(s)
    return unspliced, spliced


def _step_matrices(beta: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """Matrices (genes, 2, 4) from (u, s, α at the step's start, α's change over it) to the next (u, s)."""
    generator = np.zeros((len(beta), 4, 4))
    generator[:, 0, 0] = -beta * STEP
    generator[:, 0, 2] = STEP
    generator[:, 1, 0] = beta * STEP
    generator[:, 1, 1] = -gamma * STEP
    generator[:, 2, 3] = 1.0
    return np.ascontiguousarray(expm(generator)[:, :2])


def _march(u0: np.ndarray, s0: np.ndarray, alpha: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    change = np.diff(alpha, axis=0)
    push_u = step[:, 0, 2] * alpha[:-1] + step[:, 0, 3] * change
    push_s = step[:, 1, 2] * alpha[:-1] + step[:, 1, 3] * change
    u, s = np.empty_like(alpha), np.empty_like(alpha)
    u[0], s[0] = u0, s0
    uu, su, ss = step[:, 0, 0], step[:, 1, 0], step[:, 1, 1]
    for i in range(len(change)):
        u[i + 1] = uu * u[i] + push_u[i]
        s[i + 1] = su * u[i] + ss * s[i] + push_s[i]
    return u, s


def _periodic_start(
    alpha: np.ndarray, step: np.ndarray, beta: np.ndarray, gamma: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The state that one period returns to itself: x = M x + c, with c the end of a period begun at 0."""
    zero = np.zeros(alpha.shape[1])
    u, s = _march(zero, zero, alpha, step)
    period = (len(alpha) - 1) * STEP
    generator = np.zeros((alpha.shape[1], 2, 2))
    generator[:, 0, 0], generator[:, 1, 0], generator[:, 1, 1] = (
        -beta * period,
        beta * period,
        -gamma * period,
    )
    once = expm(generator)
    u0 = u[-1] / (1 - once[:, 0, 0])
    return u0, (s[-1] + once[:, 1, 0] * u0) / (1 - once[:, 1, 1])


def _at(study: Study, branch: int, steps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(u, s, α) at `steps` from a branch's start, by cubic Hermite interpolation of u and s and linear α."""
    beta, gamma, capture = (study.genes[c].to_numpy() for c in ("beta", "gamma", "capture"))
    alpha, u, s = study.alpha[branch], study.unspliced[branch], study.spliced[branch]
    left = np.minimum(steps.astype(int), len(alpha) - 2)
    x = (steps - left)[:, None]
    a0, a1, u0, u1, s0, s1 = alpha[left], alpha[left + 1], u[left], u[left + 1], s[left], s[left + 1]
    source = study.efficiency * capture
    here_u = _hermite(x, u0, u1, source * a0 - beta * u0, source * a1 - beta * u1)
    mature = beta / capture
    here_s = _hermite(x, s0, s1, mature * u0 - gamma * s0, mature * u1 - gamma * s1)
    return here_u, here_s, a0 + x * (a1 - a0)


def _hermite(x: np.ndarray, y0: np.ndarray, y1: np.ndarray, d0: np.ndarray, d1: np.ndarray) -> np.ndarray:
    x2, x3 = x * x, x * x * x
    return (2 * x3 - 3 * x2 + 1) * y0 + (3 * x2 - 2 * x3) * y1 + STEP * ((x3 - 2 * x2 + x) * d0 + (x3 - x2) * d1)


def _cell_types(programs: Programs, which: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Coarse labels: a path in thirds, a cycle in quarters, each branch of a tree in halves."""
    parts = {"linear": 3, "cyclic": 4, "branching": 2}[programs.topology]
    part = np.minimum((share * parts).astype(int), parts - 1)
    return np.array([f"{programs.branches[b].name}_{i + 1}" for b, i in zip(which, part, strict=True)], dtype=object)
