"""Attention over packed cells, without masked work: self-attention per cell, and reads of a cell by few queries.

Cells of one modality are sorted by length and laid out in buckets of nearly equal length, each padded to its longest
cell. The layout is made once per batch and kept through all blocks, so nothing is gathered per block; its cost is the
padding (at most `WASTE` of the rows), its gain is dense kernels on any device. A modality's layout depends on that
modality alone: neither values nor shapes of one modality reach another's arithmetic, so leak tests ask for equal bits.

Shape suffix legend: B = cells, T = packed tokens, R = rows of a layout (tokens and padding), N = cells of a bucket,
L = length of a bucket, Q = queries, H = heads, K = dimension of a head, D = model dimension.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

WASTE = 0.08  # rows of padding over rows of tokens that a bucket may have
SMALL = 4  # a bucket of fewer cells grows whatever it wastes: kernels on one cell are slower than padding


@dataclass(frozen=True)
class Bucket:
    """Cells padded to one length; the buckets' rows stand one after another."""

    n_cells: int
    length: int
    cells_N: torch.Tensor  # int64, which cells of the batch
    attend_N11L: torch.Tensor | None  # bool, True = a token; None when no cell of the bucket is padded


@dataclass(frozen=True)
class Layout:
    """Where the packed tokens of one modality stand while the blocks work on them."""

    n_cells: int
    n_rows: int
    buckets: tuple[Bucket, ...]
    row_T: torch.Tensor  # int64, the row of each packed token
    slot_B: torch.Tensor  # int64, each cell's place among the buckets' cells; the last place + 1 for an empty cell

    def split(self, x_RHK: torch.Tensor) -> list[torch.Tensor]:
        """Rows as one (N, H, L, K) for each bucket; one operation, whose gradient is one concatenation."""
        parts = x_RHK.split([b.n_cells * b.length for b in self.buckets])
        return [
            part.view(b.n_cells, b.length, *part.shape[1:]).transpose(1, 2)
            for b, part in zip(self.buckets, parts, strict=True)
        ]


def plan_layout(offsets: torch.Tensor) -> Layout:
    """Lay out cells with tokens `[offsets[b], offsets[b + 1])`; empty cells get no rows. Deterministic."""
    device = offsets.device
    bounds = offsets.tolist()
    n_cells = len(bounds) - 1
    lengths = [bounds[b + 1] - bounds[b] for b in range(n_cells)]
    order = sorted((b for b in range(n_cells) if lengths[b]), key=lengths.__getitem__)
    buckets, start, first = [], 0, 0
    base = [0] * n_cells
    slot = [len(order)] * n_cells
    while first < len(order):
        last, tokens = first + 1, lengths[order[first]]
        while last < len(order):
            longest = lengths[order[last]]
            rows = longest * (last + 1 - first)
            if rows > (1 + WASTE) * (tokens + longest) and last - first >= SMALL:
                break
            tokens += longest
            last += 1
        cells = order[first:last]
        length, n = lengths[cells[-1]], len(cells)
        attend = None
        if tokens < n * length:
            lengths_N = torch.tensor([lengths[b] for b in cells])
            attend = (torch.arange(length) < lengths_N[:, None])[:, None, None].to(device)
        buckets.append(Bucket(n, length, torch.tensor(cells, device=device), attend))
        for i, b in enumerate(cells):
            base[b], slot[b] = start + i * length, first + i
        start, first = start + n * length, last
    shift_B = torch.tensor(base, device=device) - offsets[:-1]
    counts_B = offsets.diff()
    row_T = shift_B.repeat_interleave(counts_B) + torch.arange(bounds[-1], device=device)
    return Layout(n_cells, start, tuple(buckets), row_T, torch.tensor(slot, device=device))


def self_attention(
    q_NHLK: list[torch.Tensor], k_NHLK: list[torch.Tensor], v_NHLK: list[torch.Tensor], layout: Layout
) -> torch.Tensor:
    """Each token attends to its own cell's tokens: (R, D). Rows of padding hold finite numbers that nobody reads.

    The arguments are `layout.split` of the rows, one per bucket; there must be at least one bucket.
    """
    return torch.cat(
        [
            F.scaled_dot_product_attention(q, k, v, attn_mask=b.attend_N11L).transpose(1, 2).flatten(0, 1)
            for b, q, k, v in zip(layout.buckets, q_NHLK, k_NHLK, v_NHLK, strict=True)
        ]
    ).flatten(1)


# What queries read from one stream: the softmax-weighted values (B, H, Q, K) and the log-sum-exp of the scores
# (B, H, Q), with which reads of several streams join into one softmax over all their tokens.
Read = tuple[torch.Tensor, torch.Tensor]


def read(q_BHQK: torch.Tensor, k_NHLK: list[torch.Tensor], v_NHLK: list[torch.Tensor], layout: Layout) -> Read:
    """Each cell's queries read that cell's tokens; an empty cell gives zeros and a log-sum-exp of minus infinity."""
    order = torch.cat([b.cells_N for b in layout.buckets])
    queries = q_BHQK.index_select(0, order).split([b.n_cells for b in layout.buckets])
    reads = [
        read_dense(q, k, v, b.attend_N11L) for b, q, k, v in zip(layout.buckets, queries, k_NHLK, v_NHLK, strict=True)
    ]
    values = [*(value for value, _ in reads), q_BHQK.new_zeros(1, *q_BHQK.shape[1:])]
    lses = [*(lse for _, lse in reads), q_BHQK.new_full((1, *q_BHQK.shape[1:3]), -torch.inf)]
    return torch.cat(values).index_select(0, layout.slot_B), torch.cat(lses).index_select(0, layout.slot_B)


def read_dense(
    q_NHQK: torch.Tensor,
    k_NHLK: torch.Tensor,
    v_NHLK: torch.Tensor,
    attend_N11L: torch.Tensor | None = None,
) -> Read:
    """`read` of cells that all have L ≥ 1 tokens; `attend_N11L` is True for tokens, False for padding."""
    scores_NHQL = (q_NHQK * q_NHQK.shape[-1] ** -0.5) @ k_NHLK.transpose(-1, -2)
    if attend_N11L is not None:
        scores_NHQL = scores_NHQL.masked_fill(~attend_N11L, -torch.inf)
    lse_NHQ = scores_NHQL.logsumexp(-1)
    return (scores_NHQL - lse_NHQ[..., None]).exp() @ v_NHLK, lse_NHQ


def join(reads: list[Read]) -> torch.Tensor:
    """One softmax over the tokens of all streams, (B, H, Q, K); zeros where no stream has a token."""
    lse = torch.stack([lse_BHQ for _, lse_BHQ in reads])
    # Shifting by the maximum changes nothing but range; the floor keeps "no token at all" from giving inf - inf.
    weights = (lse - lse.detach().amax(0).clamp(min=-1e30)).exp()
    weights = weights / weights.sum(0).clamp(min=1e-30)
    return sum((w[..., None] * value for w, (value, _) in zip(weights, reads, strict=True)), torch.zeros(()))


def pad(x_TD: torch.Tensor, offsets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Packed tokens as (B, L, D), L the longest cell, and which are tokens (B, L); padding is zero."""
    lengths_B = offsets.diff()
    longest = int(lengths_B.max()) if len(lengths_B) else 0
    place_L = torch.arange(longest, device=x_TD.device)
    is_token_BL = place_L < lengths_B[:, None]
    row_BL = (offsets[:-1, None] + place_L).where(is_token_BL, len(x_TD))
    padded = torch.cat([x_TD, x_TD.new_zeros(1, x_TD.shape[1])])
    return padded.index_select(0, row_BL.flatten()).view(*row_BL.shape, -1), is_token_BL
