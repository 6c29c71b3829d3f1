"""The expression decoder: from an encoded cell, its study and a gene's own embedding to that gene's count.

Any gene can be asked, also one that was hidden from the cell. The output is a negative binomial per layer: its mean
starts at the gene's mean in the study (times the cell's exposure), and the network says by what factor this cell
differs. It reads the encoder's tokens by pooling cross-attention and the study's context at the queries: which genes
vary together is each study's own, so a cell alone can't tell much of a gene that it does not show.

Shape suffix legend: B = cells, Q = asked genes, L = layers, M, D = tokens and dimension of the memory, F = features
per cell and gene, S = statistics per gene.
"""

import torch
from torch import nn

from velocorpus.data.context import CELL_FEATURES, STATISTICS
from velocorpus.model.likelihood import negative_binomial_nll
from velocorpus.model.queries import GeneQueries

# A cell's own value at the asked gene would be copied, not explained.
_READ = tuple(i for i, name in enumerate(CELL_FEATURES) if not name.startswith("own_"))


class ExpressionDecoder(nn.Module):
    """Pooling cross-attention with gene-embedding queries, then a small network shared by all genes."""

    def __init__(
        self,
        n_genes: int,
        d_encoder: int,
        *,
        n_layers: int = 2,
        d_model: int = 16,
        d_hidden: int = 96,
        n_heads: int = 2,
        unknown_rate: float = 0.1,
    ) -> None:
        super().__init__()
        self.queries = GeneQueries(n_genes, d_encoder, d_model, n_heads, unknown_rate)
        self.at_gene = nn.Linear(len(STATISTICS) + d_model, d_hidden)
        self.at_cell = nn.Linear(len(_READ) + d_model, d_hidden, bias=False)
        self.body = nn.Sequential(nn.GELU(), nn.Linear(d_hidden, d_hidden), nn.GELU())
        self.change = nn.Linear(d_hidden, n_layers)
        nn.init.zeros_(self.change.weight)
        nn.init.zeros_(self.change.bias)
        self.dispersion = nn.Linear(len(STATISTICS) + d_model, n_layers)

    def forward(
        self,
        memory_BMD: torch.Tensor,
        genes_Q: torch.Tensor,
        features_BQF: torch.Tensor,
        statistics_QS: torch.Tensor,
        base_BQL: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean counts (B, Q, L) and log inverse dispersions (Q, L) of the asked genes (token -1 = unknown).

        `base_BQL` is the gene's mean count in the study times the cell's exposure; features and statistics come from
        the `StudyContext`.
        """
        embedded_QH = self.queries.embed(genes_Q)
        found_BQH = self.queries(embedded_QH, memory_BMD)
        gene = torch.cat([statistics_QS, embedded_QH], dim=-1)
        cell = torch.cat([features_BQF[..., list(_READ)], found_BQH], dim=-1)
        change_BQL = self.change(self.body(self.at_gene(gene) + self.at_cell(cell)))
        mean_BQL = base_BQL.clamp(min=1e-6) * change_BQL.clamp(-6, 4).exp()
        return mean_BQL, self.dispersion(gene).clamp(-4, 8)


def expression_loss(
    mean_BQL: torch.Tensor, log_dispersion_QL: torch.Tensor, counts_BQL: torch.Tensor, hidden_BQ: torch.Tensor
) -> torch.Tensor:
    """Mean negative log-likelihood of the counts; hidden ones weigh ten times those that the cell showed."""
    loss_BQL = negative_binomial_nll(counts_BQL, mean_BQL, log_dispersion_QL.expand_as(mean_BQL))
    weight_BQ = torch.where(hidden_BQ, 1.0, 0.1)
    return (loss_BQL.mean(dim=-1) * weight_BQ).sum() / weight_BQ.sum()


def expected_log(
    mean: torch.Tensor, log_dispersion: torch.Tensor, scale: torch.Tensor, *, n_terms: int = 48
) -> torch.Tensor:
    """E[log1p(scale · count)] elementwise: what minimises the squared error of log-normalised values.

    Summed exactly over counts below `n_terms`; the rest of the mass is put at the larger of `n_terms` and the mean.
    """
    total = torch.zeros_like(mean)
    mass = torch.zeros_like(mean)
    for count in range(n_terms):
        counts = torch.full_like(mean, float(count))
        p = torch.exp(-negative_binomial_nll(counts, mean, log_dispersion))
        total += p * torch.log1p(scale * count)
        mass += p
    rest = (1 - mass).clamp(min=0)
    return total + rest * torch.log1p(scale * mean.clamp(min=n_terms))
