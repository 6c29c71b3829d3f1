"""What a model costs: its weights, and the floating-point operations that a cell takes.

Counted are products of matrices, 2 · m · n · k each, those of the attention included; not additions, norms and lookups,
and nothing that a mask forbids. Of the encoder only: the heads of pretraining depend on the batch.

Symbols: D = model dimension, W = width of the MLPs, F = fusion tokens, n = tokens of a modality (its genes and its
total), N = all tokens of a cell.
"""

from collections.abc import Mapping

import torch

from velocorpus.config import ModelConfig
from velocorpus.model.zorro import Zorro


def flops_per_cell(config: ModelConfig, genes: Mapping[str, int], *, backward: bool = False) -> int:
    """Operations of one cell with `genes[modality]` expressed genes in each modality that it has.

    With `backward` those of a training step: the backward pass takes each product twice, for its two arguments. What
    kernels or checkpoints compute again is not counted, as usual for MFU.
    """
    d, fusion = config.d_model, config.n_fusion
    width = int(config.mlp_ratio * d)
    lengths = [n + 1 for n in genes.values()]
    n_all = sum(lengths) + fusion
    embedding = sum(lengths) * (2 * 3 * d + 2 * d * 2 * d)
    linear = n_all * (2 * d * 3 * d + 2 * d * d + 4 * d * width)
    pairs = sum(n * n for n in lengths) + fusion * n_all
    # Each output's query reads its own tokens, the global one all.
    pooling = n_all * 2 * d * 2 * d + 2 * n_all * 4 * d + (len(config.modalities) + 2) * 2 * d * d
    forward = embedding + config.n_layers * (linear + 4 * d * pairs) + pooling
    return forward * 3 if backward else forward


def flops_per_token(config: ModelConfig, genes: Mapping[str, int], *, backward: bool = False) -> float:
    """The same for one gene's token, on average over the cell's."""
    return flops_per_cell(config, genes, backward=backward) / sum(genes.values())


def count_weights(config: ModelConfig, n_genes: int) -> tuple[int, int]:
    """The encoder's weights without gene tables, and those of its gene tables."""
    with torch.device("meta"):
        model = Zorro(config, n_genes)
    tables = len(config.modalities) * (n_genes + 2) * config.d_model
    return sum(p.numel() for p in model.parameters()) - tables, tables
