"""Batches of transitions: a cell, its place in the study, and the cell that comes a step later.

Every batch is a function of the seed and its number alone, so a stream that is resumed goes on with the same batch.
A study's context and its cells' encodings are made once and kept: about 1 kB a cell beside its counts.

Shape suffix legend: B = pairs, Q = asked genes, R = genes of the next cell that are shown, M, E = tokens and dimension
of the encoder's memory, F = features, S = statistics; a last 2 is spliced and unspliced.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from velocorpus import names
from velocorpus.corpus.reader import Cells
from velocorpus.data.context import CELL_FEATURES, STATISTICS, StudyContext, study_context
from velocorpus.data.transitions import CELL, NEXT, STEP

N_FEATURES = len(CELL_FEATURES) + len(STATISTICS)
_SIGNAL = STATISTICS.index("signal_spliced")
N_ASKED = 192
MAX_SHOWN = 128
# In this share of the batches nothing of the next cell is shown, as in the first round of generation.
_BLIND_SHARE = 0.4


@dataclass(frozen=True)
class PairBatch:
    """Pairs of one study. Counts of the next cell (`next_counts_BQ2`) are raw, all else is scaled to median depth."""

    memory_BME: torch.Tensor
    step_B: torch.Tensor
    genes_Q: torch.Tensor
    features_BQF: torch.Tensor
    smoothed_BQ2: torch.Tensor
    next_smoothed_BQ2: torch.Tensor
    next_counts_BQ2: torch.Tensor
    exposure_B: torch.Tensor
    deviation_Q2: torch.Tensor
    weight_Q: torch.Tensor
    shown_genes_R: torch.Tensor
    shown_features_BRF: torch.Tensor
    shown_values_BR2: torch.Tensor
    shown_z_BR2: torch.Tensor

    def __len__(self) -> int:
        return len(self.step_B)

    def to(self, device: torch.device | str) -> "PairBatch":
        """The same batch on another device."""
        return PairBatch(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class StudyPairs:
    """One study's pairs, as rows of its cells."""

    context: StudyContext
    memory_NME: torch.Tensor
    cell_P: np.ndarray
    next_P: np.ndarray
    step_P: np.ndarray

    def batch(self, n_pairs: int, rng: np.random.Generator) -> PairBatch:
        """Draw pairs and genes."""
        context = self.context
        picked = rng.integers(len(self.cell_P), size=n_pairs)
        here, there = self.cell_P[picked], self.next_P[picked]
        usable = np.flatnonzero(context.usable_G)
        n_shown = 0 if rng.random() < _BLIND_SHARE else int(rng.integers(1, min(MAX_SHOWN, len(usable) // 2) + 1))
        drawn = rng.permutation(usable)[: N_ASKED + n_shown]
        asked, shown = drawn[n_shown:], drawn[:n_shown]
        features = torch.from_numpy(features_of(context, context.features(here, drawn), drawn))
        smoothed = _both(context.moments(here), drawn)
        following = _both(context.moments(there), drawn)
        scaled = _both(context.own(there), drawn)
        deviation = torch.from_numpy(context.deviation_G2[drawn])
        exposure = torch.from_numpy(1 / np.maximum(context.size_N[there], 1e-6))
        values = scaled[:, :n_shown]
        return PairBatch(
            memory_BME=self.memory_NME[torch.from_numpy(here)],
            step_B=torch.from_numpy(self.step_P[picked]),
            genes_Q=torch.from_numpy(asked),
            features_BQF=features[:, n_shown:],
            smoothed_BQ2=smoothed[:, n_shown:],
            next_smoothed_BQ2=following[:, n_shown:],
            next_counts_BQ2=(scaled[:, n_shown:] * exposure[:, None, None]).round(),
            exposure_B=exposure,
            deviation_Q2=deviation[n_shown:],
            weight_Q=torch.from_numpy(context.statistics_GF[asked, _SIGNAL]),
            shown_genes_R=torch.from_numpy(shown),
            shown_features_BRF=features[:, :n_shown],
            shown_values_BR2=values,
            shown_z_BR2=(values - smoothed[:, :n_shown]) / deviation[:n_shown],
        )


class PairStream:
    """An endless stream of batches over studies, each as often as the root of its number of pairs."""

    def __init__(self, studies: Sequence[StudyPairs], *, batch_pairs: int, seed: int) -> None:
        self.studies = studies
        self.batch_pairs = batch_pairs
        self.seed = seed
        self.step = 0
        weight = np.sqrt([len(study.cell_P) for study in studies])
        self.probability = weight / weight.sum()

    def __iter__(self) -> Iterator[PairBatch]:
        while True:
            rng = np.random.default_rng((self.seed, self.step))
            study = self.studies[rng.choice(len(self.studies), p=self.probability)]
            self.step += 1
            yield study.batch(self.batch_pairs, rng)

    def state_dict(self) -> dict[str, Any]:
        """The number of the next batch."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.step = state["step"]


def study_pairs(cells: Cells, transitions: pa.Table, memory_NME: torch.Tensor) -> StudyPairs | None:
    """The pairs that lie in some cells of one study; None where there is none (the filter removes cells)."""
    row_of = {cell: row for row, cell in enumerate(cells.obs[CELL].to_pylist())}
    here = np.array([row_of.get(cell, -1) for cell in transitions[CELL].to_pylist()], dtype=np.int64)
    there = np.array([row_of.get(cell, -1) for cell in transitions[NEXT].to_pylist()], dtype=np.int64)
    both = (here >= 0) & (there >= 0)
    if not both.any():
        return None
    context = study_context(cells.layers[names.SPLICED], cells.layers[names.UNSPLICED])
    return StudyPairs(context, memory_NME, here[both], there[both], transitions[STEP].to_numpy()[both])


def features_of(context: StudyContext, cell_BQF: np.ndarray, genes_Q: np.ndarray) -> np.ndarray:
    """Cell features and statistics side by side, (B, Q, `N_FEATURES`)."""
    statistics_QS = context.statistics(genes_Q)
    return np.concatenate([cell_BQF, np.broadcast_to(statistics_QS, (len(cell_BQF), *statistics_QS.shape))], -1)


def _both(layers: tuple[np.ndarray, np.ndarray], genes_Q: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack([layer_BG[:, genes_Q] for layer_BG in layers], -1))
