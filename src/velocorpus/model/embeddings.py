"""From counts to tokens: a gene's embedding scaled and shifted by its value, and one token of the layer's log total.

A token is `gene * (1 + scale(value)) + shift(value)`, so that gene and value meet before the first
attention. Nothing of another layer enters: values are scaled by the layer's own total. Genes are a set, so there are no
positions.

Shape suffix legend: T = packed genes of a batch, U = packed tokens (the total token heads each cell's genes),
R = rows of a layout, B = cells, D = model dimension.
"""

import torch
from torch import nn

from velocorpus.data.batch import LayerTokens
from velocorpus.model.attention import Layout, plan_layout

TARGET = 1e4  # counts are scaled to this total before log1p
UNIT = 4.0  # log values are divided by this, so that they are of order one


class LayerEmbedding(nn.Module):
    """Embeds one modality's genes and values. Gene token -1 means *unknown* and has a trained embedding of its own."""

    def __init__(self, n_genes: int, d_model: int) -> None:
        super().__init__()
        self.n_genes = n_genes
        # Two rows past the genes: the unknown gene, and the token that carries the total.
        self.gene = nn.Embedding(n_genes + 2, d_model)
        self.value = nn.Sequential(nn.Linear(3, d_model), nn.GELU(), nn.Linear(d_model, 2 * d_model))

    def forward(
        self, tokens: LayerTokens, hidden_T: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, Layout, torch.Tensor]:
        """Embed a layer: (R, D), the layout of its tokens, and their offsets (B + 1).

        Every cell gets a total token, also a cell without counts. `hidden_T` (bool) marks genes whose value is hidden:
        they keep their name and get a learned value. Values see `totals_B`, the total before truncation.
        """
        n_cells = len(tokens.totals_B)
        device = tokens.offsets.device
        offsets = tokens.offsets + torch.arange(n_cells + 1, device=device)
        layout = plan_layout(offsets)
        cell_T = torch.repeat_interleave(torch.arange(n_cells, device=device), tokens.offsets.diff())
        token_T = torch.arange(len(cell_T), device=device) + cell_T + 1
        row_T = layout.row_T.index_select(0, token_T)
        row_B = layout.row_T.index_select(0, offsets[:-1])

        gene_R = torch.full((layout.n_rows,), self.n_genes, dtype=tokens.genes_T.dtype, device=device)
        gene_R[row_T] = torch.where(tokens.genes_T < 0, self.n_genes, tokens.genes_T)
        gene_R[row_B] = self.n_genes + 1
        scale_B = TARGET / tokens.totals_B.clamp(min=1)
        value_T = (tokens.counts_T * scale_B[cell_T]).log1p() / UNIT
        features_R3 = torch.zeros(layout.n_rows, 3, device=device)
        if hidden_T is None:
            features_R3[row_T, 0] = value_T
        else:
            features_R3[row_T, 0] = value_T.masked_fill(hidden_T, 0)
            features_R3[row_T, 2] = hidden_T.float()
        features_R3[row_B, 1] = tokens.totals_B.log1p() / UNIT
        scale_RD, shift_RD = self.value(features_R3).chunk(2, dim=1)
        return torch.addcmul(shift_RD, self.gene(gene_R), 1 + scale_RD), layout, offsets
