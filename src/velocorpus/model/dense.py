"""The slow twin: the same weights over one cell at a time, with the dense masks written out, in float32.

It exists to be compared with: `Zorro.forward` must give these numbers and these gradients. Nothing else uses it.

Shape suffix legend: S = tokens of one cell, Q = output queries, H = heads, K = dimension of a head, D = model
dimension.
"""

from typing import cast

import torch

from velocorpus import names
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model.masks import attend_blocks, attend_pooling, streams_of
from velocorpus.model.zorro import Block, Zorro, ZorroOutput


def dense_attention(
    q_QHK: torch.Tensor, k_SHK: torch.Tensor, v_SHK: torch.Tensor, attend_QS: torch.Tensor
) -> torch.Tensor:
    """Softmax attention under a mask, (Q, H * K); a query that may attend to nothing gets zeros."""
    scores_HQS = torch.einsum("qhk,shk->hqs", q_QHK, k_SHK) * q_QHK.shape[-1] ** -0.5
    weights_HQS = scores_HQS.masked_fill(~attend_QS, -1e30).softmax(-1) * attend_QS
    return torch.einsum("hqs,shk->qhk", weights_HQS, v_SHK).flatten(1)


def dense_forward(model: Zorro, batch: CellBatch) -> ZorroOutput:
    """`model(batch)`, computed cell by cell with masks."""
    modalities = model.config.modalities
    cells = [_one_cell(model, batch, b) for b in range(len(batch))]
    tokens = {m: torch.cat([cell[0][i] for cell in cells]) for i, m in enumerate(modalities)}
    offsets = {m: torch.tensor([0, *(len(cell[0][i]) for cell in cells)]).cumsum(0) for i, m in enumerate(modalities)}
    pooled_BQD = torch.stack([cell[2] for cell in cells])
    present = {
        m: batch.layers[m].totals_B > 0 if m in batch.layers else torch.zeros(len(batch), dtype=torch.bool)
        for m in modalities
    }
    pooled = {name: pooled_BQD[:, i] for i, name in enumerate((*modalities, names.FUSION, names.GLOBAL))}
    return ZorroOutput(tokens, offsets, torch.stack([cell[1] for cell in cells]), pooled, present)


def _one_cell(model: Zorro, batch: CellBatch, b: int) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    parts = []
    for m in model.config.modalities:
        if m in batch.layers:
            layer = batch.layers[m]
            mine = slice(int(layer.offsets[b]), int(layer.offsets[b + 1]))
            genes_T, counts_T = layer.genes_T[mine], layer.counts_T[mine]
            one = LayerTokens(genes_T, counts_T, torch.tensor([0, len(genes_T)]), layer.totals_B[b : b + 1])
            parts.append(model.embeddings[m](one)[0])
        else:
            parts.append(torch.zeros(0, model.config.d_model))
    lengths = [len(part) for part in parts]
    streams_S = streams_of(lengths, model.config.n_fusion)
    x_SD = torch.cat([*parts, model.fusion_FD])
    for block in cast(list[Block], model.blocks):
        q, k, v = block.project(x_SD)
        x_SD = block.finish(x_SD, dense_attention(q, k, v, attend_blocks(streams_S)))
    x_SD = model.norm(x_SD)
    k, v = model.pooling.keys_values(x_SD)
    q_QHK = model.pooling.queries_QD.view(len(model.pooling.names), model.pooling.n_heads, -1)
    attend_QS = attend_pooling(streams_S, len(lengths))
    pooled_QD = model.pooling.finish(dense_attention(q_QHK, k, v, attend_QS))
    *own, fusion_FD = x_SD.split([*lengths, model.config.n_fusion])
    return own, fusion_FD, pooled_QD
