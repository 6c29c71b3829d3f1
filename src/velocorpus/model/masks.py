"""The Zorro masks as dense tables, `True` where a query may attend to a key.

The fast path never builds them (`attention.py` computes only what they allow); they define what is allowed, and the
dense twin (`dense.py`) computes with them. Recasens et al. 2023, "Zorro: the masked multimodal transformer".

Shape suffix legend: S = tokens of one cell (its modalities one after another, then the fusion tokens), Q = queries.
"""

from collections.abc import Sequence

import torch


def streams_of(lengths: Sequence[int], n_fusion: int) -> torch.Tensor:
    """The stream of each token of one cell: 0, 1, … for the modalities, -1 for fusion; int64, S values.

    `lengths` is the number of tokens of each modality; a modality may have none.
    """
    parts = [torch.full((n,), m, dtype=torch.int64) for m, n in enumerate(lengths)]
    return torch.cat([*parts, torch.full((n_fusion,), -1, dtype=torch.int64)])


def attend_blocks(streams_S: torch.Tensor) -> torch.Tensor:
    """Who attends to whom inside a block, (S, S): a modality within itself, fusion to everything.

    Nothing but fusion attends to fusion, so no modality learns of another through it.
    """
    same_SS = streams_S[:, None] == streams_S[None, :]
    fusion_S1 = (streams_S == -1)[:, None]
    return same_SS | fusion_S1


def attend_pooling(streams_S: torch.Tensor, n_modalities: int) -> torch.Tensor:
    """What the output queries read, (Q, S): one query per modality, then the fusion query, then the global query."""
    wanted_Q1 = torch.tensor([*range(n_modalities), -1])[:, None]
    own_QS = wanted_Q1 == streams_S[None, :]
    return torch.cat([own_QS, torch.ones(1, len(streams_S), dtype=torch.bool)])
