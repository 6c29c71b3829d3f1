"""The generative decoder: the next expression state of a cell, a step of pseudotime later, by repeated unmasking.

The paper asks for "a generative MLM model with cross attention to generate the gene expression levels over
pseudo-time". Each gene is a query, made of its own embedding, what the study says about it (`data/context.py`) and the
length of the step. Queries read the cell's fusion tokens and pooled outputs, and the genes of the next state that are
already decided. Training hides a random share of the next state; generation decides genes in rounds, so that a cell
that begins to go one way at a fork goes on that way (Chang et al. 2022, MaskGIT, for images).

Shape suffix legend: B = cells, Q = asked genes, R = genes of the next state already decided, M = memory tokens,
F = features, D = dimension of this decoder, E = dimension of the encoder; a last 2 is spliced and unspliced.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from velocorpus.model.likelihood import negative_binomial_nll

# A predicted change beyond this many standard deviations of the gene in its study is noise.
MAX_CHANGE = 4.0


@dataclass(frozen=True)
class Decided:
    """Genes of the next state that are already decided, the same ones for every cell of the batch."""

    genes_R: torch.Tensor  # int64
    features_BRF: torch.Tensor
    values_BR2: torch.Tensor  # counts, scaled to the study's median depth
    z_BR2: torch.Tensor  # how far they lie from the smoothed present, in the genes' standard deviations


@dataclass(frozen=True)
class NextState:
    """Per gene: the change of the smoothed state in standard deviations, and the log of the NB dispersion."""

    change_BQ2: torch.Tensor
    log_dispersion_BQ2: torch.Tensor


class TrajectoryDecoder(nn.Module):
    """Gene-query cross-attention that predicts the next state given the cell, the step and what is decided."""

    def __init__(
        self, n_genes: int, d_encoder: int, n_features: int, *, d_model: int = 64, d_gene: int = 16, n_heads: int = 4
    ) -> None:
        super().__init__()
        # The last row serves genes outside the vocabulary.
        self.gene = nn.Embedding(n_genes + 1, d_gene)
        self.query = nn.Linear(d_gene + n_features, d_model)
        self.step = nn.Sequential(nn.Linear(2, d_model), nn.GELU(), nn.Linear(d_model, d_model))
        self.cell = nn.Linear(d_encoder, d_model)
        self.decided = nn.Sequential(
            nn.Linear(d_gene + n_features + 4, d_model), nn.GELU(), nn.Linear(d_model, d_model)
        )
        self.attention = nn.MultiheadAttention(d_model, n_heads, batch_first=True)
        self.norm_query = nn.LayerNorm(d_model)
        self.norm_memory = nn.LayerNorm(d_model)
        self.norm_out = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, 4 * d_model),
            nn.GELU(),
            nn.Linear(4 * d_model, d_model),
            nn.GELU(),
            nn.LayerNorm(d_model),
        )
        self.head = nn.Linear(d_model, 4)
        nn.init.normal_(self.gene.weight, std=0.1)
        # Untrained, the decoder says that nothing changes and that counts are nearly Poisson.
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.0, 0.0, 2.0, 2.0]))

    def forward(
        self,
        cell_BME: torch.Tensor,
        genes_Q: torch.Tensor,
        features_BQF: torch.Tensor,
        step_B: torch.Tensor,
        decided: Decided | None = None,
    ) -> NextState:
        """Predict the asked genes.

        `cell_BME`: the encoder's fusion tokens and pooled outputs; `genes_Q`: tokens, -1 for unknown; `features_BQF`:
        the context's cell features and statistics; `step_B`: share of the study's time span.
        """
        step_BD = self.step(torch.stack([step_B, step_B.sqrt()], -1))
        query_BQD = self.query(self._with_gene(genes_Q, features_BQF)) + step_BD[:, None]
        memory_BMD = self.cell(cell_BME) + step_BD[:, None]
        if decided is not None:
            told = [self._with_gene(decided.genes_R, decided.features_BRF)]
            told += [torch.log1p(decided.values_BR2), decided.z_BR2.clamp(-6, 6)]
            memory_BMD = torch.cat([memory_BMD, self.decided(torch.cat(told, -1))], 1)
        memory_BMD = self.norm_memory(memory_BMD)
        read_BQD, _ = self.attention(self.norm_query(query_BQD), memory_BMD, memory_BMD, need_weights=False)
        out_BQ4 = self.head(self.mlp(self.norm_out(query_BQD + read_BQD)))
        return NextState(MAX_CHANGE * torch.tanh(out_BQ4[..., :2] / MAX_CHANGE), out_BQ4[..., 2:].clamp(-4, 6))

    def _with_gene(self, genes_Q: torch.Tensor, features_BQF: torch.Tensor) -> torch.Tensor:
        rows_Q = torch.where(genes_Q >= 0, genes_Q, self.gene.num_embeddings - 1)
        return torch.cat([self.gene(rows_Q).expand(len(features_BQF), -1, -1), features_BQF], -1)


def next_mean(smoothed_BQ2: torch.Tensor, deviation_Q2: torch.Tensor, change_BQ2: torch.Tensor) -> torch.Tensor:
    """The next state's mean, in molecules per cell of median depth; never below a hundredth of the deviation."""
    return torch.maximum(smoothed_BQ2 + deviation_Q2 * change_BQ2, 0.01 * deviation_Q2)


def trajectory_loss(
    predicted: NextState,
    *,
    smoothed_BQ2: torch.Tensor,
    deviation_Q2: torch.Tensor,
    next_smoothed_BQ2: torch.Tensor,
    next_counts_BQ2: torch.Tensor,
    exposure_B: torch.Tensor,
    weight_Q: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Two losses: Huber of the change against the next cell's smoothed state, and the NB likelihood of its counts.

    The smoothed state teaches the mean with little noise; the counts teach the dispersion alone (the mean is held
    fixed there), so that generated cells scatter as real ones do. `exposure_B` brings the scaled mean to the next
    cell's own depth; `weight_Q` is a gene's share of signal in the study, 0 where it is too rare.
    """
    wanted_BQ2 = ((next_smoothed_BQ2 - smoothed_BQ2) / deviation_Q2).clamp(-MAX_CHANGE, MAX_CHANGE)
    total = (weight_Q.sum() * len(exposure_B)).clamp_min(1.0)
    change = functional.huber_loss(predicted.change_BQ2, wanted_BQ2, reduction="none").mean(-1)
    mean_BQ2 = next_mean(smoothed_BQ2, deviation_Q2, predicted.change_BQ2.detach()) * exposure_B[:, None, None]
    scatter = negative_binomial_nll(next_counts_BQ2, mean_BQ2, predicted.log_dispersion_BQ2).mean(-1)
    return (change * weight_Q).sum() / total, (scatter * weight_Q).sum() / total
