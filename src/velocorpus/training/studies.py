"""Studies for fine-tuning: a split's cells grouped by study, with what the encoder makes of each.

The frozen encoder reads every cell once; what it makes of a cell (some ten tokens) is kept, so that a step of
fine-tuning costs the decoder alone.

Shape suffix legend: N = cells of a study, B = cells of a batch, M = tokens of the memory, D = their dimension,
Q = asked genes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from velocorpus import names
from velocorpus.corpus.reader import CSR, Cells, Corpus
from velocorpus.data.tokens import batch_of
from velocorpus.errors import UserMistake
from velocorpus.model.queries import memory_of
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import say

LAYERS = (names.SPLICED, names.UNSPLICED)


def split_studies(corpus: Corpus, split: str, *, max_cells: int = 4000, seed: int = 0) -> dict[str, Cells]:
    """The cells of each study of a split, sorted by name; of a larger study `max_cells` cells are drawn, and said."""
    at = corpus.samples[names.STUDY].to_pylist()
    if not corpus.shards(split):
        return {}
    found = {}
    for study in sorted(set(at)):
        cells = corpus.read(split=split, studies=[study], layers=LAYERS)
        if len(cells) == 0:
            continue
        if len(cells) > max_cells:
            say(f"finetune: of the {len(cells)} cells of study {study}, {max_cells} are used")
            rng = np.random.default_rng([seed, len(cells)])
            cells = take(cells, np.sort(rng.choice(len(cells), max_cells, replace=False)))
        found[study] = cells
    return found


def take(cells: Cells, rows_N: np.ndarray) -> Cells:
    """Some rows of some cells, in the order given."""
    layers = {}
    for name, csr in cells.layers.items():
        lengths = np.diff(csr.indptr)[rows_N]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        at = np.repeat(csr.indptr[:-1][rows_N] - starts[:-1], lengths) + np.arange(starts[-1])
        layers[name] = CSR(starts, csr.indices[at], csr.data[at], csr.n_genes)
    return Cells(cells.obs.take(rows_N), layers, cells.unmapped)


def thinned(cells: Cells, share: float, rng: np.random.Generator) -> Cells:
    """The same cells at a lower depth: each molecule stays with probability `share`."""
    layers = {}
    for name, csr in cells.layers.items():
        left = rng.binomial(csr.data, share).astype(np.int32)
        stay = left > 0
        kept_before = np.concatenate([[0], np.cumsum(stay)])
        layers[name] = CSR(kept_before[csr.indptr], csr.indices[stay], left[stay], csr.n_genes)
    return Cells(cells.obs, layers, cells.unmapped)


def without(cells: Cells, hidden_NG: np.ndarray) -> Cells:
    """The same cells without the counts that `hidden_NG` (bool) marks, as if those had not been measured."""
    layers = {}
    for name, csr in cells.layers.items():
        rows = np.repeat(np.arange(len(cells)), np.diff(csr.indptr))
        stay = ~hidden_NG[rows, csr.indices]
        kept_before = np.concatenate([[0], np.cumsum(stay)])
        layers[name] = CSR(kept_before[csr.indptr], csr.indices[stay], csr.data[stay], csr.n_genes)
    return Cells(cells.obs, layers, cells.unmapped)


def dense(cells: Cells, rows_B: np.ndarray, genes_Q: np.ndarray) -> np.ndarray:
    """Raw counts (B, Q, L) float32 of rows at gene tokens, in the order of `LAYERS`."""
    out = np.zeros((len(rows_B), len(genes_Q), len(LAYERS)), np.float32)
    for i, name in enumerate(LAYERS):
        csr = cells.layers[name]
        column = np.full(csr.n_genes, -1)
        column[genes_Q] = np.arange(len(genes_Q))
        for b, row in enumerate(rows_B):
            part = slice(csr.indptr[row], csr.indptr[row + 1])
            at = column[csr.indices[part]]
            out[b, at[at >= 0], i] = csr.data[part][at >= 0]
    return out


def sizes(cells: Cells) -> np.ndarray:
    """Spliced + unspliced counts of each cell, (N,) float32."""
    return np.stack([cells.layers[name].totals for name in LAYERS]).sum(axis=0).astype(np.float32)


@torch.no_grad()
def encode(encoder: Zorro, cells: Cells, *, batch_cells: int = 64, device: torch.device | str = "cpu") -> torch.Tensor:
    """What decoders attend to, for every cell: (N, M, D) on the CPU."""
    encoder.eval()
    parts = [
        encoded(encoder, cells, rows, device).cpu()
        for rows in np.array_split(np.arange(len(cells)), max(1, -(-len(cells) // batch_cells)))
    ]
    return torch.cat(parts)


def encoded(encoder: Zorro, cells: Cells, rows_B: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """The memory (B, M, D) of some cells, with gradients where the encoder has them."""
    config = encoder.config
    batch = batch_of(
        cells,
        rows_B,
        config.modalities,
        max_genes=config.max_genes,
        truncation="top",
        rng=np.random.default_rng(0),
    )
    return memory_of(encoder(batch.to(device)), config.modalities)


@dataclass(frozen=True)
class StudyBatch:
    """Cells of one study at some genes; `study` is its place in the list that the batches were made from."""

    study: int
    rows_B: np.ndarray
    genes_Q: np.ndarray

    def __len__(self) -> int:
        return len(self.rows_B)

    def to(self, device: Any) -> "StudyBatch":
        """Indices stay on the CPU, where the counts are."""
        return self


class StudyBatches:
    """An endless stream: a study (each as often as any other), some of its cells, some of its genes.

    The draw of step n is a function of the seed and n alone, so a resumed run draws the same.
    """

    def __init__(
        self, n_cells: Sequence[int], genes: Sequence[np.ndarray], *, batch_cells: int, n_genes: int, seed: int
    ) -> None:
        if not n_cells:
            raise UserMistake("No study of the training split can be learned from; see the lines above.")
        self.n_cells, self.genes = list(n_cells), list(genes)
        self.batch_cells, self.n_genes, self.seed = batch_cells, n_genes, seed
        self.step = 0

    def __iter__(self) -> Iterator[StudyBatch]:
        while True:
            rng = np.random.default_rng([self.seed, self.step])
            self.step += 1
            study = int(rng.integers(len(self.n_cells)))
            n, genes = self.n_cells[study], self.genes[study]
            rows = rng.choice(n, min(n, self.batch_cells), replace=False)
            asked = rng.choice(len(genes), min(len(genes), self.n_genes), replace=False)
            yield StudyBatch(study, np.sort(rows), genes[np.sort(asked)])

    def state_dict(self) -> dict[str, Any]:
        """How many batches have been drawn."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after that many batches."""
        self.step = int(state["step"])
