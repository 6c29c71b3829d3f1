"""The velocity decoder: from an encoded cell, the study's context and a gene's embedding to that gene's velocity.

One small network is shared by all genes; a gene enters through its embedding. Two heads keep what can be known apart
from what cannot: the *shape* `z` (the velocity over the gene's root mean square over the study, its log-variance with
it) and the gene's *scale* (that root mean square in standard deviations of smoothed spliced expression per time
unit of the targets). A teacher's time scale per gene is arbitrary, so the shape's loss never sees it.

Shape suffix legend: B = cells, Q = asked genes, M, D = tokens and dimension of the memory, F = features per cell and
gene, S = statistics per gene, H = the decoder's dimension.
"""

from typing import NamedTuple

import torch
from torch import nn

from velocorpus.data.context import CELL_FEATURES, STATISTICS
from velocorpus.model.queries import GeneQueries

MODES = ("none", "neighbours")
# In mode `none` a decoder sees only the cell's own two values at the asked gene.
_OWN = tuple(CELL_FEATURES.index(name) for name in ("own_spliced", "own_unspliced"))


class VelocityOutput(NamedTuple):
    """`z_BQ` and `log_variance_BQ` in units of the gene's own root mean square; `log_scale_Q` is the log of it."""

    z_BQ: torch.Tensor
    log_variance_BQ: torch.Tensor
    log_scale_Q: torch.Tensor


class VelocityDecoder(nn.Module):
    """Gene-query cross-attention over the encoder's tokens, with the study's context at the queries.

    `mode` is `neighbours` (statistics of the study and smoothed moments) or `none` (the cell alone: weak, and meant
    for comparison or for cells without a study).
    """

    def __init__(
        self,
        n_genes: int,
        d_encoder: int,
        *,
        mode: str = "neighbours",
        d_model: int = 16,
        d_hidden: int = 128,
        n_heads: int = 2,
        unknown_rate: float = 0.05,
    ) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
        self.mode = mode
        self.queries = GeneQueries(n_genes, d_encoder, d_model, n_heads, unknown_rate)
        n_statistics = len(STATISTICS) if mode == "neighbours" else 0
        n_features = len(CELL_FEATURES) if mode == "neighbours" else len(_OWN)
        self.at_gene = nn.Linear(n_statistics + d_model, d_hidden)
        self.at_cell = nn.Linear(n_features + d_model, d_hidden, bias=False)
        self.shape = nn.Sequential(nn.GELU(), nn.Linear(d_hidden, d_hidden), nn.GELU(), nn.Linear(d_hidden, 2))
        self.scale = nn.Sequential(nn.Linear(n_statistics + d_model, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(
        self,
        memory_BMD: torch.Tensor,
        genes_Q: torch.Tensor,
        features_BQF: torch.Tensor,
        statistics_QS: torch.Tensor,
    ) -> VelocityOutput:
        """Velocities of cells at genes; `features_BQF`, `statistics_QS` come from `StudyContext`, whatever the mode."""
        embedded_QH = self.queries.embed(genes_Q)
        found_BQH = self.queries(embedded_QH, memory_BMD)
        if self.mode == "none":
            features_BQF = features_BQF[..., list(_OWN)]
            statistics_QS = statistics_QS[:, :0]
        gene = torch.cat([statistics_QS, embedded_QH], dim=-1)
        hidden = self.at_gene(gene) + self.at_cell(torch.cat([features_BQF, found_BQH], dim=-1))
        z_BQ, log_variance_BQ = self.shape(hidden).unbind(-1)
        return VelocityOutput(z_BQ, log_variance_BQ.clamp(-5, 3), self.scale(gene)[..., 0])


def velocity_loss(output: VelocityOutput, z_BQ: torch.Tensor, log_scale_Q: torch.Tensor) -> torch.Tensor:
    """Gaussian negative log-likelihood of the shape plus a small squared error of the log scale.

    `z_BQ` are target velocities over their gene's root mean square in the study, NaN where there is no target.
    `log_scale_Q` is the log of that root mean square over `StudyContext.scale_G`.
    """
    known = torch.isfinite(z_BQ)
    error = torch.where(known, output.z_BQ - z_BQ, 0)
    log_variance = torch.where(known, output.log_variance_BQ, 0)
    likelihood = 0.5 * (error**2 * torch.exp(-log_variance) + log_variance).sum() / known.sum().clamp(min=1)
    return likelihood + 0.1 * (output.log_scale_Q - log_scale_Q).square().mean()
