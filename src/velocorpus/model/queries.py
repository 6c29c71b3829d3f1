"""What the decoders share: the encoder's tokens as a memory, and gene queries that attend to it.

Shape suffix legend: B = cells, Q = asked genes, M = tokens of the memory, D = the encoder's dimension, H = the
decoder's dimension.
"""

from typing import Any

import torch
from torch import nn

UNKNOWN = -1


def memory_of(output: Any, modalities: tuple[str, ...]) -> torch.Tensor:
    """The tokens of an encoded cell that decoders attend to: (B, M, D).

    The fusion tokens, which have attended to every token of every modality, then the pooled outputs (one per modality,
    fusion, global). A cell's some thousand gene tokens are thus read by the encoder once, and a gene query costs
    `M` products instead of thousands; the memory is small enough to be kept for every cell.
    """
    pooled = [output.pooled[name] for name in (*modalities, "fusion", "global")]
    return torch.cat([output.fusion_tokens_BFD, torch.stack(pooled, dim=1)], dim=1)


class GeneQueries(nn.Module):
    """Pooling cross-attention: each asked gene's embedding queries the memory of each cell.

    Genes outside the vocabulary (token -1) share one trained embedding; in training `unknown_rate` of the asked genes
    are replaced by it.
    """

    def __init__(self, n_genes: int, d_encoder: int, d_model: int, n_heads: int, unknown_rate: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.unknown_rate = unknown_rate
        self.embedding = nn.Embedding(n_genes + 1, d_model)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.norm = nn.LayerNorm(d_encoder)
        self.query = nn.Linear(d_model, d_model)
        self.key_value = nn.Linear(d_encoder, 2 * d_model)
        self.out = nn.Linear(d_model, d_model)

    def embed(self, genes_Q: torch.Tensor) -> torch.Tensor:
        """Embeddings of asked genes, (Q, H)."""
        at_Q = torch.where(genes_Q < 0, self.embedding.num_embeddings - 1, genes_Q)
        if self.training and self.unknown_rate > 0:
            hidden_Q = torch.rand(at_Q.shape, device=at_Q.device) < self.unknown_rate
            at_Q = torch.where(hidden_Q, self.embedding.num_embeddings - 1, at_Q)
        return self.embedding(at_Q)

    def forward(self, embedded_QH: torch.Tensor, memory_BMD: torch.Tensor) -> torch.Tensor:
        """What each gene's query finds in each cell, (B, Q, H)."""
        b, m, _ = memory_BMD.shape
        q, h = embedded_QH.shape
        heads = self.n_heads
        query = self.query(embedded_QH).view(1, q, heads, h // heads).transpose(1, 2).expand(b, -1, -1, -1)
        key, value = self.key_value(self.norm(memory_BMD)).chunk(2, dim=-1)
        key = key.view(b, m, heads, h // heads).transpose(1, 2)
        value = value.view(b, m, heads, h // heads).transpose(1, 2)
        found = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.out(found.transpose(1, 2).reshape(b, q, h))
