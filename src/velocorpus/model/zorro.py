"""Zorro: one transformer whose streams, one per modality and one of fusion tokens, see only what they may.

All streams share the blocks' weights. A modality attends within itself; the fusion tokens attend to every modality
and to themselves; nothing attends to fusion but fusion (`masks.py` says it as tables). So each modality's output is a
function of that modality alone, and the model works with any of them missing. Recasens et al. 2023.

Shape suffix legend: B = cells, T = packed tokens, R = rows of a stream (`plans.py`), F = fusion tokens, Q = output
queries, H = heads, K = dimension of a head, D = model dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from velocorpus import names
from velocorpus.config import ModelConfig
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.data.batch import CellBatch
from velocorpus.model.embeddings import LayerEmbedding
from velocorpus.model.plans import Plan, choose, compute_dtype, plan_of
from velocorpus.model.start import start


@dataclass(frozen=True)
class ZorroOutput:
    """What the encoder knows of a batch.

    `tokens[modality]` is (T, D), the last block's tokens; cell b owns `[offsets[m][b], offsets[m][b + 1])`, of which
    the first is the token of the layer's total and the others are its genes in the order of the batch. `pooled` has
    (B, D) for each modality, "fusion" and "global"; all are finite also where a cell has no counts. `present[m]` is
    (B,) bool: whether the cell has counts in that modality. A modality that the batch lacks has no tokens.
    """

    tokens: dict[str, torch.Tensor]
    offsets: dict[str, torch.Tensor]
    fusion_tokens_BFD: torch.Tensor
    pooled: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]


class Block(nn.Module):
    """A pre-norm transformer block that every stream passes with the same weights."""

    def __init__(self, d_model: int, n_heads: int, mlp_ratio: float, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.norm_mlp = nn.LayerNorm(d_model)
        width = int(mlp_ratio * d_model)
        self.mlp = nn.Sequential(nn.Linear(d_model, width), nn.GELU(), nn.Linear(width, d_model))
        self.dropout = nn.Dropout(dropout)

    def project(self, x_RD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of each row, (R, H, K) each."""
        qkv = self.qkv(self.norm_attention(x_RD))
        q, k, v = qkv.view(len(x_RD), 3, self.n_heads, -1).unbind(1)
        return q, k, v

    def finish(self, x_RD: torch.Tensor, attended_RD: torch.Tensor) -> torch.Tensor:
        """Add what was attended to, then the MLP."""
        x_RD = x_RD + self.dropout(self.out(attended_RD))
        return x_RD + self.dropout(self.mlp(self.norm_mlp(x_RD)))

    def forward(self, streams: Sequence[torch.Tensor], plan: Plan) -> list[torch.Tensor]:
        """The rows of each stream, (R, D), after this block."""
        attended = plan.attend([self.project(x_RD) for x_RD in streams])
        return [self.finish(x_RD, found_RD) for x_RD, found_RD in zip(streams, attended, strict=True)]


class Pooling(nn.Module):
    """Learned queries that read the last block: one per modality, one for fusion, one for everything."""

    def __init__(self, modalities: tuple[str, ...], d_model: int, n_heads: int) -> None:
        super().__init__()
        self.names = (*modalities, names.FUSION, names.GLOBAL)
        self.n_heads = n_heads
        self.queries_QD = nn.Parameter(torch.randn(len(self.names), d_model))
        self.kv = nn.Linear(d_model, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model)

    def keys_values(self, x_RD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of each row, (R, H, K) each."""
        k, v = self.kv(x_RD).view(len(x_RD), 2, self.n_heads, -1).unbind(1)
        return k, v

    def finish(self, attended_BD: torch.Tensor) -> torch.Tensor:
        """The output of one query from what it read."""
        return self.norm(self.out(attended_BD))

    def forward(self, streams: Sequence[torch.Tensor], plan: Plan, n_cells: int) -> dict[str, torch.Tensor]:
        """(B, D) for each name; a modality that the batch lacks has read nothing."""
        *own_HK, everything_HK = self.queries_QD.unflatten(1, (self.n_heads, -1))
        found = plan.pool(
            dict(zip(self.names[:-1], own_HK, strict=True)), everything_HK, [self.keys_values(x) for x in streams]
        )
        nothing_BD = self.queries_QD.new_zeros(n_cells, self.queries_QD.shape[1])
        return {name: self.finish(found.get(name, nothing_BD)) for name in self.names}


class Zorro(nn.Module):
    """The encoder. `n_genes` is the size of the vocabulary; a batch's gene tokens are below it, -1 means unknown."""

    def __init__(self, config: ModelConfig, n_genes: int) -> None:
        super().__init__()
        if config.d_model % config.n_heads:
            raise ValueError(f"d_model {config.d_model} is not a multiple of n_heads {config.n_heads}")
        self.config = config
        self.n_genes = n_genes
        d_model = config.d_model
        self.embeddings = nn.ModuleDict({m: LayerEmbedding(n_genes, d_model) for m in config.modalities})
        self.fusion_FD = nn.Parameter(torch.randn(config.n_fusion, d_model))
        self.blocks = nn.ModuleList(
            Block(d_model, config.n_heads, config.mlp_ratio, config.dropout) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.pooling = Pooling(config.modalities, d_model, config.n_heads)
        start(self)

    def forward(self, batch: CellBatch, hidden: Mapping[str, torch.Tensor] | None = None) -> ZorroOutput:
        """Encode a batch; layers that are no modality of this model are ignored, modalities may be missing.

        `hidden[modality]` (bool, one per packed gene) marks genes whose values the model must not see.
        """
        embedded, bounds, offsets, present = {}, {}, {}, {}
        n_cells, n_fusion = len(batch), self.config.n_fusion
        for name in self.config.modalities:
            if name in batch.layers:
                layer = batch.layers[name]
                embedded[name], offsets[name] = self.embeddings[name](layer, hidden.get(name) if hidden else None)
                bounds[name] = layer.bounds + torch.arange(n_cells + 1)
                present[name] = layer.totals_B > 0
            else:
                offsets[name] = batch.rows_B.new_zeros(n_cells + 1)
                present[name] = batch.rows_B.new_zeros(n_cells, dtype=torch.bool)
        device = self.fusion_FD.device
        kernels = choose(self.config.attention, device, compute_dtype(self.fusion_FD))
        plan = plan_of(kernels, bounds, n_cells, n_fusion, device)
        streams = plan.place(embedded, self.fusion_FD.expand(n_cells, -1, -1))
        recompute = self.config.checkpoint_blocks and torch.is_grad_enabled()
        for block in self.blocks:
            streams = checkpoint(block, streams, plan, use_reentrant=False) if recompute else block(streams, plan)
        streams = [self.norm(x_RD) for x_RD in streams]
        tokens, fusion_BFD = plan.take(streams)
        lacking = {name: fusion_BFD.new_zeros(0, self.config.d_model) for name in offsets}
        return ZorroOutput(lacking | tokens, offsets, fusion_BFD, self.pooling(streams, plan, n_cells), present)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile the blocks, with `nn.Module.compile`'s arguments; batches are planned outside of them."""
        for block in self.blocks:
            block.compile(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, where: Path | str, *, revision: str | None = None) -> "Zorro":
        """The encoder of a model directory, or of a model on the Hugging Face hub by its id `owner/name`, to evaluate.

        `revision` is a commit, tag or branch on the hub. What it refuses is `load_pretrained`'s.
        """
        from velocorpus.model.pretrained import load_pretrained  # it builds on this module

        return load_pretrained(where, revision=revision).encoder()

    def save_pretrained(self, directory: Path | str, genes: Vocabulary, training: Mapping[str, Any]) -> None:
        """Write the encoder's directory, whole or not at all: its genes by token, and what it learned from."""
        from velocorpus.model.pretrained import save_pretrained  # it builds on this module

        config = {"kind": "encoder", "encoder": self.config.model_dump(mode="json")}
        save_pretrained(directory, {"encoder": self}, config, genes, training)
