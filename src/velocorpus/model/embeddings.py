"""From counts to tokens: a gene's embedding scaled and shifted by its value, and one token of the layer's log total.

A token is `gene * (value + scale(value)) + shift(value)`, so that gene and value meet before the first attention;
where the value is hidden, and in the token of the total, 1 stands for it. Nothing of another layer enters: values are
scaled by the layer's own total. Genes are a set, so there are no positions.

Shape suffix legend: T = packed genes of a batch, U = packed tokens (the total token heads each cell's genes),
B = cells, D = model dimension.
"""

import torch
from torch import nn

from velocorpus.data.batch import LayerTokens

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

    def forward(self, tokens: LayerTokens, hidden_T: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Embed a layer: packed tokens (U, D) and their offsets (B + 1).

        Every cell gets a total token, also a cell without counts. `hidden_T` (bool) marks genes whose value is hidden:
        they keep their name and get a learned value. Values see `totals_B`, the total before truncation.
        """
        n_cells, n_genes = len(tokens.totals_B), len(tokens.genes_T)
        device = tokens.offsets.device
        cells = torch.arange(n_cells + 1, device=device)
        # With the size given nobody waits for the device.
        cell_T = cells[:-1].repeat_interleave(tokens.offsets.diff(), output_size=n_genes)
        at_T = torch.arange(n_genes, device=device) + cell_T + 1
        offsets = tokens.offsets + cells
        at_B = offsets[:-1]

        gene_U = torch.empty(n_genes + n_cells, dtype=tokens.genes_T.dtype, device=device)
        gene_U[at_T] = torch.where(tokens.genes_T < 0, self.n_genes, tokens.genes_T)
        gene_U[at_B] = self.n_genes + 1
        scale_B = TARGET / tokens.totals_B.clamp(min=1)
        value_T = (tokens.counts_T * scale_B[cell_T]).log1p() / UNIT
        features_U3 = torch.zeros(len(gene_U), 3, device=device)
        factor_U1 = torch.ones(len(gene_U), 1, device=device)
        if hidden_T is None:
            features_U3[at_T, 0] = factor_U1[at_T, 0] = value_T
        else:
            features_U3[at_T, 0] = value_T.masked_fill(hidden_T, 0)
            features_U3[at_T, 2] = hidden_T.float()
            factor_U1[at_T, 0] = value_T.masked_fill(hidden_T, 1)
        features_U3[at_B, 1] = tokens.totals_B.log1p() / UNIT
        # 8 bits would round a total by 6 %: values enter in the weights' format, whatever autocast says.
        with torch.autocast(device.type, enabled=False):
            value_UD = self.value[0](features_U3.to(self.gene.weight.dtype))
        value_UD = self.value[2](self.value[1](value_UD))
        scale_UD, shift_UD = value_UD.chunk(2, dim=1)
        return torch.addcmul(shift_UD, self.gene(gene_U), factor_U1 + scale_UD), offsets
