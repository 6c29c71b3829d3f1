"""How an encoder's weights start: so that before the first step its outputs are all but linear in log expression.

At random, a transformer gives random functions of a cell in which little of single genes is left, and contrast has to
find them again. Here a gene's token is its embedding times its log value beside a longer vector common to all genes, so
that layer norms pass it on nearly in proportion; blocks add little at first, output queries read all tokens alike, and
the last maps turn without stretching. An output is then a projection of the cell's expression; with gene embeddings
that start as components (`training/components.py`) it is their scores.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from velocorpus.model.zorro import Zorro

GENE_STD = 0.5
COMMON_STD = 2.0  # of the vector that all tokens of a modality share
VALUE_SHARE = 0.3  # of what a random start would have values do beyond the product
QUERY_SHARE = 0.1


@torch.no_grad()
def start(encoder: "Zorro") -> None:
    """Draw all weights from torch's random numbers."""
    encoder.apply(_draw)
    blocks: list[Any] = list(encoder.blocks)
    for block in blocks:
        for last in (block.out, block.mlp[2]):
            # Two branches a block: together they change a token by about its own size (Radford et al. 2019).
            last.weight *= (2 * len(blocks)) ** -0.5
    embeddings: list[Any] = list(encoder.embeddings.values())
    first, *others = embeddings
    first.value[2].weight *= VALUE_SHARE
    nn.init.normal_(first.value[2].bias[encoder.config.d_model :], std=COMMON_STD)
    pooling = encoder.pooling
    pooling.queries_QD.mul_(QUERY_SHARE)
    for turn in (pooling.kv.weight[encoder.config.d_model :], pooling.out.weight):
        nn.init.orthogonal_(turn)
    # A gene is the same gene in each modality: so the views of a cell are comparable, also in genes that are rare.
    for other in others:
        other.load_state_dict(first.state_dict())
    pooling.queries_QD[1 : len(others) + 1] = pooling.queries_QD[0]


@torch.no_grad()
def start_genes(encoder: "Zorro", genes_GD: torch.Tensor) -> None:
    """Let the gene embeddings (n_genes, D) of every modality start as given; the unknown gene and the total stay."""
    embeddings: list[Any] = list(encoder.embeddings.values())
    for embedding in embeddings:
        embedding.gene.weight[: len(genes_GD)] = genes_GD


def _draw(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=GENE_STD)
