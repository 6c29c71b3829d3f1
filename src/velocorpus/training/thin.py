"""Thinning: each layer of a cell as if sequenced less, so that depth cannot tell which views belong together.

A cell's layers share its depth, and depth shows in every value (one count of a thousand, one of ten thousand), so a
contrast of the layers can be won by it. With a share drawn for each layer on its own, their depths tell little of each
other, and the same cell is seen at many depths.

Shape suffix legend: T = packed genes of a batch in one layer, B = cells.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from velocorpus.data.batch import CellBatch, LayerTokens


def thin(batch: CellBatch, modalities: Sequence[str], least: float, rng: torch.Generator) -> CellBatch:
    """Keep each molecule with a chance that is drawn for each cell and layer, log-uniform in [`least`, 1].

    Genes left without a count leave their layer; totals are thinned alike, also of the genes that truncation has cut.
    The numbers are drawn on the CPU, so that every device sees the same cells.
    """
    layers = {
        name: _thinned(x, least, rng).to(x.offsets.device) if name in modalities else x
        for name, x in batch.layers.items()
    }
    return replace(batch, layers=layers)


def _thinned(layer: LayerTokens, least: float, rng: torch.Generator) -> LayerTokens:
    x = layer.to("cpu")
    n_cells, n_genes = len(x.totals_B), len(x.genes_T)
    share_B = least ** torch.rand(n_cells, generator=rng)
    cell_T = torch.arange(n_cells).repeat_interleave(x.offsets.diff(), output_size=n_genes)
    counts_T = torch.binomial(x.counts_T, share_B[cell_T], generator=rng)
    shown_B, left_B = (torch.zeros(n_cells).index_add_(0, cell_T, counts) for counts in (x.counts_T, counts_T))
    cut_B = torch.binomial((x.totals_B - shown_B).clamp(min=0), share_B, generator=rng)
    stays_T = counts_T > 0
    lengths_B = torch.zeros(n_cells, dtype=torch.int64).index_add_(0, cell_T, stays_T.long())
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths_B.cumsum(0)])
    return LayerTokens(x.genes_T[stays_T], counts_T[stays_T], offsets, left_B + cut_B)
