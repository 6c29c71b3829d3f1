"""A batch of cells as packed tokens, or padded for models that need it.

Shape suffix legend: B = cells of the batch, T = expressed genes of all its cells in one layer, one after another, L =
the most genes that a cell may have.
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
    host_offsets: torch.Tensor | None = None  # `offsets` as they were on the CPU, before a move to another device

    @property
    def bounds(self) -> torch.Tensor:
        """`offsets` on the CPU; for a batch that came from there nobody waits for the device."""
        return self.offsets.cpu() if self.host_offsets is None else self.host_offsets

    def to(self, device: torch.device | str) -> "LayerTokens":
        """The same layer on another device."""
        genes_T, counts_T, offsets, totals_B = (
            x.to(device, non_blocking=True) for x in (self.genes_T, self.counts_T, self.offsets, self.totals_B)
        )
        return LayerTokens(genes_T, counts_T, offsets, totals_B, self.bounds)


@dataclass(frozen=True)
class CellBatch:
    """Cells of one batch; `rows_B` are their rows in the `Cells` or the corpus that they were read from."""

    layers: dict[str, LayerTokens]
    rows_B: torch.Tensor  # int64

    def __len__(self) -> int:
        return len(self.rows_B)

    def to(self, device: torch.device | str) -> "CellBatch":
        """The same batch on another device."""
        layers = {name: x.to(device) for name, x in self.layers.items()}
        return CellBatch(layers, self.rows_B.to(device, non_blocking=True))


@dataclass(frozen=True)
class PaddedTokens:
    """One layer's expressed genes, a row a cell: row b has `sizes_B[b]` of them, and zeros after that."""

    genes_BL: torch.Tensor  # int32
    counts_BL: torch.Tensor  # float32
    sizes_B: torch.Tensor  # int64
    totals_B: torch.Tensor  # float32, before any truncation


@dataclass(frozen=True)
class PaddedBatch:
    """Cells of one batch, padded; `rows_B` as in `CellBatch`."""

    layers: dict[str, PaddedTokens]
    rows_B: torch.Tensor
