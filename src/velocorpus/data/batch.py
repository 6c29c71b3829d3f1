"""A batch of cells as packed tokens: no padding is ever written.

Shape suffix legend: B = cells of the batch, T = expressed genes of all its cells in one layer, one after another.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class LayerTokens:
    """One layer's expressed genes: cell b owns `[offsets[b], offsets[b + 1])`."""

    genes_T: torch.Tensor  # int32, token of the gene; -1 where the gene is not in the vocabulary
    counts_T: torch.Tensor  # float32, raw counts
    offsets: torch.Tensor  # int64, B + 1 values
    totals_B: torch.Tensor  # float32, the cell's total count in this layer before any truncation


@dataclass(frozen=True)
class CellBatch:
    """Cells of one batch; `rows_B` are their rows in the `Cells` or the corpus that they were read from."""

    layers: dict[str, LayerTokens]
    rows_B: torch.Tensor  # int64

    def __len__(self) -> int:
        return len(self.rows_B)

    def to(self, device: torch.device | str) -> "CellBatch":
        """The same batch on another device."""
        layers = {
            name: LayerTokens(
                *(t.to(device, non_blocking=True) for t in (x.genes_T, x.counts_T, x.offsets, x.totals_B))
            )
            for name, x in self.layers.items()
        }
        return CellBatch(layers, self.rows_B.to(device, non_blocking=True))
