"""What pretraining hides from the encoder: values that it must predict, and names that it must do without.

Shape suffix legend: T = packed genes of a batch in one layer.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from velocorpus.data.batch import CellBatch


def corrupt(
    batch: CellBatch,
    modalities: Sequence[str],
    *,
    mask_rate: float,
    unknown_rate: float,
    rng: torch.Generator,
) -> tuple[CellBatch, dict[str, torch.Tensor]]:
    """Hide the values of a share of genes, and turn a share of the others into the unknown gene (token -1).

    Gives the batch with its new names and, per modality, which genes' values are hidden (bool, T). A gene without a
    name is never hidden: nobody could say what it was. The random numbers are drawn on the CPU, so that every device
    hides the same genes.
    """
    hidden, layers = {}, dict(batch.layers)
    for m in modalities:
        if m not in batch.layers:
            continue
        genes_T = batch.layers[m].genes_T
        draw_T = torch.rand(len(genes_T), generator=rng).to(genes_T.device)
        hidden[m] = (draw_T < mask_rate) & (genes_T >= 0)
        layers[m] = replace(batch.layers[m], genes_T=genes_T.masked_fill(draw_T > 1 - unknown_rate, -1))
    if mask_rate + unknown_rate > 1:
        raise ValueError(f"mask_rate {mask_rate} and unknown_rate {unknown_rate} exceed 1 together")
    return replace(batch, layers=layers), hidden
