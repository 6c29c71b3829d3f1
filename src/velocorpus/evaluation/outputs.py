"""What encoders make of the cells of a study: trained ones, and the same before their first step.

Shape suffix legend: N = cells, D = model dimension.
"""

from dataclasses import dataclass

import numpy as np
import torch

from velocorpus import names
from velocorpus.config import ModelConfig
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.tokens import batch_of
from velocorpus.evaluation.views import Pair
from velocorpus.model.pretrained import Pretrained
from velocorpus.model.start import start_genes
from velocorpus.model.zorro import Zorro
from velocorpus.training.components import gene_components
from velocorpus.training.studies import LAYERS
from velocorpus.velocity.embed import pooled_of

_BATCH = 128


@dataclass(frozen=True)
class Embeddings:
    """What one encoder makes of a study: `pooled` outputs (N, D), and the two views that the contrast compares."""

    pooled: dict[str, np.ndarray]
    projected: Pair

    @property
    def pair(self) -> Pair:
        """The outputs of both layers."""
        return self.pooled[names.SPLICED], self.pooled[names.UNSPLICED]


def embeddings(model: Pretrained, cells: Cells, device: torch.device | str = "cpu") -> Embeddings:
    """Encode a study; without a contrast (a decoder's directory) the projections are the outputs."""
    pooled = embedded(model.encoder().to(device), cells, device)
    weights = [model.tensors.get(f"contrast.projections.{name}.weight") for name in LAYERS]
    a, b = (pooled[name] if w is None else pooled[name] @ w.numpy().T for name, w in zip(LAYERS, weights, strict=True))
    return Embeddings(pooled, (a, b))


def untrained(model: Pretrained, corpus: Corpus, seed: int) -> dict[str, Zorro]:
    """The same encoder before its first step: with random genes, and as it started if that was with components."""
    config = model.encoder().config
    found = {"untrained encoder, random genes": _drawn(config, corpus, seed)}
    if model.training.get("config", {}).get("pretrain", {}).get("start") == "components":
        found["untrained encoder, genes as components"] = encoder = _drawn(config, corpus, seed)
        start_genes(encoder, gene_components(corpus, config.modalities, config.d_model, seed=seed))
    return found


def _drawn(config: ModelConfig, corpus: Corpus, seed: int) -> Zorro:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Zorro(config, len(corpus.genes)).eval()


def embedded(encoder: Zorro, cells: Cells, device: torch.device | str = "cpu") -> dict[str, np.ndarray]:
    """Pooled outputs (N, D) of some cells by name."""
    config = encoder.config
    rng = np.random.default_rng(0)
    parts: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(cells), _BATCH):
        rows = np.arange(first, min(first + _BATCH, len(cells)))
        batch = batch_of(
            cells, rows, config.modalities, max_genes=config.max_genes, truncation=config.truncation, rng=rng
        )
        for name, pooled_BD in pooled_of(encoder, batch.to(device)).items():
            parts.setdefault(name, []).append(pooled_BD)
    return {name: np.concatenate(pieces) for name, pieces in parts.items()}
