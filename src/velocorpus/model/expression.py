"""The expression decoder: from an encoded cell and a gene's own embedding to the distribution of that gene's count.

Any gene can be asked, also one that was hidden from the encoder's input. The output is a negative binomial per layer:
its mean is the cell's size (its total of spliced + unspliced counts over the genes it was shown) times a rate, its
inverse dispersion is the gene's own.

Shape suffix legend: B = cells, Q = asked genes, L = layers, M, D = tokens and dimension of the memory.
"""

import torch
from torch import nn

from velocorpus.model.queries import GeneQueries


class ExpressionDecoder(nn.Module):
    """Pooling cross-attention with gene-embedding queries, then a small network shared by all genes.

    `log_rate_G L` starts from the genes' mean rates (`mean_rate_GL`, counts of a layer per count of the cell), so that
    training begins at the per-gene mean and learns what cells add to it.
    """

    def __init__(
        self,
        n_genes: int,
        d_encoder: int,
        *,
        n_layers: int = 2,
        d_model: int = 32,
        d_hidden: int = 64,
        n_heads: int = 4,
        unknown_rate: float = 0.02,
    ) -> None:
        super().__init__()
        self.queries = GeneQueries(n_genes, d_encoder, d_model, n_heads, unknown_rate)
        self.log_rate_GL = nn.Parameter(torch.full((n_genes + 1, n_layers), -10.0))
        self.log_dispersion_GL = nn.Parameter(torch.zeros(n_genes + 1, n_layers))
        self.at_gene = nn.Linear(d_model, d_hidden)
        self.at_cell = nn.Linear(d_model, d_hidden, bias=False)
        self.body = nn.Sequential(nn.GELU(), nn.Linear(d_hidden, n_layers))
        # What the genes' embeddings say linearly in the cell's state: enough to follow a program, few weights.
        self.state = nn.Linear(d_encoder, d_model)
        self.loading = nn.Embedding(n_genes + 1, d_model * n_layers)
        nn.init.normal_(self.loading.weight, std=0.02)
        self.n_layers = n_layers

    @torch.no_grad()
    def start_from(self, mean_rate_GL: torch.Tensor) -> None:
        """Set the genes' rates to means over training cells, (n_genes, L); unknown genes get the median rate."""
        rate = mean_rate_GL.clamp(min=1e-8).log()
        self.log_rate_GL[:-1] = rate
        self.log_rate_GL[-1] = rate.median(dim=0).values

    def forward(
        self, memory_BMD: torch.Tensor, genes_Q: torch.Tensor, size_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean counts (B, Q, L) and log inverse dispersions (Q, L) of the asked genes (token -1 = unknown)."""
        at_Q = torch.where(genes_Q < 0, len(self.log_rate_GL) - 1, genes_Q)
        embedded_QH = self.queries.embed(genes_Q)
        found_BQH = self.queries(embedded_QH, memory_BMD)
        change_BQL = self.body(self.at_gene(embedded_QH) + self.at_cell(found_BQH))
        state_BH = self.state(self.queries.norm(memory_BMD).mean(dim=1))
        loading_QLH = self.loading(at_Q).view(len(at_Q), self.n_layers, -1)
        change_BQL = change_BQL + torch.einsum("bh,qlh->bql", state_BH, loading_QLH)
        log_mean = self.log_rate_GL[at_Q] + change_BQL.clamp(-8, 8) + size_B.clamp(min=1).log()[:, None, None]
        return log_mean.clamp(max=15).exp(), self.log_dispersion_GL[at_Q]


def expression_loss(mean_BQL: torch.Tensor, log_dispersion_QL: torch.Tensor, counts_BQL: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood of counts under a negative binomial (variance = mean + mean² / dispersion)."""
    dispersion = log_dispersion_QL.clamp(-6, 8).exp()
    total = mean_BQL + dispersion
    log_likelihood = (
        torch.lgamma(counts_BQL + dispersion)
        - torch.lgamma(dispersion)
        - torch.lgamma(counts_BQL + 1)
        + dispersion * (dispersion / total).log()
        + counts_BQL * (mean_BQL.clamp(min=1e-12) / total).log()
    )
    return -log_likelihood.mean()
