"""Rollouts of the generative decoder: from a cell, step by step, to the states that come after it.

A generated state is a cell like any other: raw counts, spliced and unspliced. Before each step it is encoded anew and
given its place in the study (the real cells nearest to it), so that a rollout stays where the study has cells.

Shape suffix legend: B = trajectories, G = gene tokens, Q = usable genes of the study, K = neighbours, M, E = tokens and
dimension of the encoder's memory, F = features; a last 2 is spliced and unspliced.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from velocorpus.corpus.reader import CSR, Cells
from velocorpus.data.context import StudyContext
from velocorpus.data.pairs import features_of
from velocorpus.model.likelihood import negative_binomial_nll
from velocorpus.model.trajectory import Decided, TrajectoryDecoder, next_mean
from velocorpus.model.zorro import Zorro
from velocorpus.training.studies import LAYERS, encode

# Decided genes that the undecided ones read; more cost time and add little.
MAX_TOLD = 256


@dataclass(frozen=True)
class States:
    """One state of each trajectory: `counts_BG2` int32, and its log-likelihood per generated count (0 at the start)."""

    counts_BG2: np.ndarray
    log_likelihood_B: np.ndarray


@torch.no_grad()
def roll_out(
    encoder: Zorro,
    decoder: TrajectoryDecoder,
    context: StudyContext,
    start_BG2: np.ndarray,
    *,
    n_steps: int,
    step: float,
    rounds: int = 4,
    seed: int = 0,
) -> Iterator[States]:
    """Yield the start and then `n_steps` generated states of each trajectory.

    `start_BG2`: raw counts in the tokens of the model's vocabulary. `step`: share of the study's time span that one
    step takes, best within what the decoder was trained on (`velocity.transitions.STEPS`). `rounds`: in how many
    rounds the genes are decided. The same seed gives the same trajectories.
    """
    rng = np.random.default_rng(seed)
    encoder.eval()
    decoder.eval()
    counts_BG2 = start_BG2.astype(np.int32)
    # A trajectory keeps its first cell's depth: sequencing depth is no state of the cell.
    exposure_B = counts_BG2.sum((1, 2)) / context.depth
    yield States(counts_BG2, np.zeros(len(counts_BG2)))
    for _ in range(n_steps):
        counts_BG2, log_likelihood_B = _advance(
            encoder, decoder, context, counts_BG2, exposure_B, step=step, rounds=rounds, rng=rng
        )
        yield States(counts_BG2, log_likelihood_B)


def cells_from(counts_BG2: np.ndarray) -> Cells:
    """Dense raw counts as cells that the encoder takes."""
    obs = pa.table({"cell_id": [str(i) for i in range(len(counts_BG2))]})
    return Cells(obs, {name: _csr(counts_BG2[:, :, i]) for i, name in enumerate(LAYERS)})


def _advance(
    encoder: Zorro,
    decoder: TrajectoryDecoder,
    context: StudyContext,
    counts_BG2: np.ndarray,
    exposure_B: np.ndarray,
    *,
    step: float,
    rounds: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    size_B = context.depth / np.maximum(counts_BG2.sum((1, 2)), 1)
    own_BG2 = (counts_BG2 * size_B[:, None, None]).astype(np.float32)
    around_BK = context.around(own_BG2.sum(2))
    genes_Q = np.flatnonzero(context.usable_G)
    cell_BQF = context.features_around(around_BK, (own_BG2[..., 0], own_BG2[..., 1]), genes_Q)
    features = torch.from_numpy(features_of(context, cell_BQF, genes_Q))
    smoothed_BG2 = np.stack(context.moments_around(around_BK), -1)
    smoothed, deviation = torch.from_numpy(smoothed_BG2[:, genes_Q]), torch.from_numpy(context.deviation_G2[genes_Q])
    memory = encode(encoder, cells_from(counts_BG2))
    steps_B = torch.full((len(counts_BG2),), step)
    exposure = torch.from_numpy(exposure_B.astype(np.float32))[:, None, None]

    # Genes too rare for a direction keep the density of their surroundings.
    out_BG2 = rng.poisson(smoothed_BG2 * exposure_B[:, None, None]).astype(np.int32)
    out_BG2[:, genes_Q] = 0
    log_likelihood_B = np.zeros(len(counts_BG2))
    order = rng.permutation(len(genes_Q))
    for ask, done in _schedule(order, rounds):
        told = done[-MAX_TOLD:]
        decided = None
        if len(told):
            values = torch.from_numpy(out_BG2[:, genes_Q[told]].astype(np.float32)) / exposure
            z = (values - smoothed[:, told]) / deviation[told]
            decided = Decided(torch.from_numpy(genes_Q[told]), features[:, told], values, z)
        predicted = decoder(memory, torch.from_numpy(genes_Q[ask]), features[:, ask], steps_B, decided)
        mean = next_mean(smoothed[:, ask], deviation[ask], predicted.change_BQ2) * exposure
        drawn = _negative_binomial(mean.numpy(), predicted.log_dispersion_BQ2.exp().numpy(), rng)
        out_BG2[:, genes_Q[ask]] = drawn
        nll = negative_binomial_nll(torch.from_numpy(drawn).float(), mean, predicted.log_dispersion_BQ2)
        log_likelihood_B -= nll.double().sum((1, 2)).numpy()
    return out_BG2, log_likelihood_B / max(2 * len(genes_Q), 1)


def _schedule(order: np.ndarray, rounds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(genes to decide, genes decided before) of each round, by the cosine schedule: few first, most at the end."""
    edges = [round(len(order) * (1 - math.cos(math.pi / 2 * i / rounds))) for i in range(rounds + 1)]
    for start, end in itertools.pairwise(edges):
        if end > start:
            yield order[start:end], order[:start]


def _negative_binomial(mean: np.ndarray, dispersion: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mean, dispersion = mean.astype(float), dispersion.astype(float)
    return rng.negative_binomial(dispersion, dispersion / (dispersion + mean)).astype(np.int32)


def _csr(counts_BG: np.ndarray) -> CSR:
    rows, columns = np.nonzero(counts_BG)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(counts_BG)))])
    return CSR(indptr.astype(np.int64), columns.astype(np.int32), counts_BG[rows, columns], counts_BG.shape[1])
