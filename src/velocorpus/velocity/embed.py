"""An encoder's outputs for the cells of an AnnData."""

from typing import Any

import numpy as np
import torch

from velocorpus.data.tokens import batch_of
from velocorpus.model.pretrained import Pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.velocity.study import cells_in


def embed(adata: Any, model: Pretrained, *, batch_cells: int = 128, seed: int = 0) -> tuple[str, ...]:
    """Write `obsm["X_zorro_<output>"]` (float32, cells × d_model) for every output of the model's encoder.

    Layers hold raw counts; `var` holds Ensembl ids (versions are cut off) in its index or a usual column. Gives the
    gene ids that the model's vocabulary lacks; they are left out. `seed` draws the genes of cells that have more than
    the model's `max_genes`, where the model's policy is a sample.
    """
    encoder = model.encoder()
    modalities = encoder.config.modalities
    cells = cells_in(adata, model.genes, modalities)
    rng = np.random.default_rng(seed)
    parts: dict[str, list[np.ndarray]] = {}
    for first in range(0, adata.n_obs, batch_cells):
        rows = np.arange(first, min(first + batch_cells, adata.n_obs))
        batch = batch_of(
            cells, rows, modalities, max_genes=encoder.config.max_genes, truncation=encoder.config.truncation, rng=rng
        )
        for name, pooled_BD in pooled_of(encoder, batch).items():
            parts.setdefault(name, []).append(pooled_BD)
    for name, pieces in parts.items():
        adata.obsm[f"X_zorro_{name}"] = np.concatenate(pieces)
    return cells.unmapped


def pooled_of(encoder: Zorro, batch: Any) -> dict[str, np.ndarray]:
    """The encoder's pooled outputs of one batch as arrays."""
    with torch.no_grad():
        return {name: pooled_BD.numpy() for name, pooled_BD in encoder(batch).pooled.items()}
