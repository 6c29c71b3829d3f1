"""Attention by SDPA, on any device: self-attention per modality, and reads of the modalities by few queries.

Cells of one modality are sorted by length and laid out in buckets of nearly equal length, each padded to its longest
cell. The layout is made once per batch and kept through all blocks, so nothing is gathered per block; its cost is the
padding (at most `WASTE` of the rows), its gain is dense kernels on any device. A modality's layout depends on that
modality alone: neither values nor shapes of one modality reach another's arithmetic, so leak tests ask for equal bits.
Scores of reads, their log-sum-exps and the joins are float32 whatever the number format of the rest.

Shape suffix legend: B = cells, T = packed tokens, R = rows of a layout (tokens and padding), N = cells of a bucket,
L = length of a bucket, F = fusion tokens, Q = queries, H = heads, K = dimension of a head, D = model dimension.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from velocorpus import names

WASTE = 0.08  # rows of padding over rows of tokens that a bucket may have
SMALL = 4  # a bucket of fewer short cells grows whatever it wastes: kernels on one cell are slower than padding
LONG = 512  # a cell of so many tokens keeps a kernel busy by itself


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
    token_R: torch.Tensor  # int64, the token of each row; rows of padding repeat token 0
    slot_B: torch.Tensor  # int64, each cell's place among the buckets' cells; the last place + 1 for an empty cell

    def split(self, x_RHK: torch.Tensor) -> list[torch.Tensor]:
        """Rows as one (N, H, L, K) for each bucket; one operation, whose gradient is one concatenation."""
        # One bucket, as of cells cut to one length, needs no copy of its gradient.
        parts = x_RHK.split([b.n_cells * b.length for b in self.buckets]) if len(self.buckets) > 1 else (x_RHK,)
        return [
            part.view(b.n_cells, b.length, *part.shape[1:]).transpose(1, 2)
            for b, part in zip(self.buckets, parts, strict=True)
        ]


def plan_layout(offsets: torch.Tensor, device: torch.device | str = "cpu") -> Layout:
    """Lay out cells with tokens `[offsets[b], offsets[b + 1])`; empty cells get no rows. Deterministic.

    `offsets` are on the CPU; the layout's tensors go to `device`.
    """
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
            enough = last - first >= SMALL or longest >= LONG
            if enough and rows > (1 + WASTE) * (tokens + longest):
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
    token_T = torch.arange(bounds[-1])
    row_T = (torch.tensor(base) - offsets[:-1]).repeat_interleave(offsets.diff()) + token_T
    token_R = torch.zeros(start, dtype=torch.int64).index_copy_(0, row_T, token_T)
    slot_B = torch.tensor(slot, device=device)
    return Layout(n_cells, start, tuple(buckets), row_T.to(device), token_R.to(device), slot_B)


def self_attention(
    q_NHLK: list[torch.Tensor], k_NHLK: list[torch.Tensor], v_NHLK: list[torch.Tensor], layout: Layout
) -> torch.Tensor:
    """Each token attends to its own cell's tokens: (R, D). Rows of padding hold finite numbers that nobody reads.

    The arguments are `layout.split` of the rows, one per bucket; there must be at least one bucket.
    """
    found = [
        F.scaled_dot_product_attention(q, k, v, attn_mask=b.attend_N11L).transpose(1, 2).flatten(0, 1)
        for b, q, k, v in zip(layout.buckets, q_NHLK, k_NHLK, v_NHLK, strict=True)
    ]
    return (torch.cat(found) if len(found) > 1 else found[0]).flatten(1)


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
    nothing, never = torch.zeros_like(reads[0][0][:1]), torch.full_like(reads[0][1][:1], -torch.inf)
    values, lses = [*(value for value, _ in reads), nothing], [*(lse for _, lse in reads), never]
    return torch.cat(values).index_select(0, layout.slot_B), torch.cat(lses).index_select(0, layout.slot_B)


def read_dense(
    q_NHQK: torch.Tensor,
    k_NHLK: torch.Tensor,
    v_NHLK: torch.Tensor,
    attend_N11L: torch.Tensor | None = None,
) -> Read:
    """`read` of cells that all have L ≥ 1 tokens; `attend_N11L` is True for tokens, False for padding. Float32."""
    scores_NHQL = ((q_NHQK * q_NHQK.shape[-1] ** -0.5) @ k_NHLK.transpose(-1, -2)).float()
    if attend_N11L is not None:
        scores_NHQL = scores_NHQL.masked_fill(~attend_N11L, -torch.inf)
    lse_NHQ = scores_NHQL.logsumexp(-1)
    return ((scores_NHQL - lse_NHQ[..., None]).exp().to(v_NHLK.dtype) @ v_NHLK).float(), lse_NHQ


def join(reads: Sequence[Read]) -> torch.Tensor:
    """One softmax over the tokens of all streams, (B, H, Q, K); zeros where no stream has a token."""
    lse = torch.stack([lse_BHQ for _, lse_BHQ in reads])
    # Shifting by the maximum changes nothing but range; the floor keeps "no token at all" from giving inf - inf.
    weights = (lse - lse.detach().amax(0).clamp(min=-1e30)).exp()
    weights = weights / weights.sum(0).clamp(min=1e-30)
    return sum((w[..., None] * value for w, (value, _) in zip(weights, reads, strict=True)), torch.zeros(()))


def merge_heads(x_BHQK: torch.Tensor) -> torch.Tensor:
    """(B * Q, H * K)."""
    return x_BHQK.transpose(1, 2).flatten(2).flatten(0, 1)


@dataclass(frozen=True)
class SplitPlan:
    """`plans.Plan` by SDPA: one stream of rows for each modality of the batch, and one of fusion tokens (B * F, D)."""

    n_cells: int
    layouts: dict[str, Layout]

    @classmethod
    def of(
        cls, offsets: Mapping[str, torch.Tensor], n_cells: int, n_fusion: int, device: torch.device | str
    ) -> "SplitPlan":
        """`offsets` on the CPU; every cell has a token in every modality of them."""
        return cls(n_cells, {name: plan_layout(bounds, device) for name, bounds in offsets.items()})

    def place(self, tokens: Mapping[str, torch.Tensor], fusion_BFD: torch.Tensor) -> list[torch.Tensor]:
        """As `Plan.place`."""
        return [
            *(tokens[name].index_select(0, layout.token_R) for name, layout in self.layouts.items()),
            fusion_BFD.flatten(0, 1),
        ]

    def take(self, streams: Sequence[torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """As `Plan.take`."""
        *own, fusion_RD = streams
        tokens = {
            name: x_RD.index_select(0, layout.row_T)
            for (name, layout), x_RD in zip(self.layouts.items(), own, strict=True)
        }
        return tokens, fusion_RD.unflatten(0, (self.n_cells, -1))

    @torch.compiler.disable  # other buckets would be another graph: every batch would be compiled anew
    def attend(self, qkv: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        """As `Plan.attend`."""
        q, k, v = map(self._fusion, qkv[-1])
        attended, reads = [], [read_dense(q, k, v)]
        for layout, parts in zip(self.layouts.values(), qkv[:-1], strict=True):
            q_NHLK, k_NHLK, v_NHLK = map(layout.split, parts)
            attended.append(self_attention(q_NHLK, k_NHLK, v_NHLK, layout))
            reads.append(read(q, k_NHLK, v_NHLK, layout))
        return [*attended, merge_heads(join(reads)).to(q.dtype)]

    def pool(
        self, own: Mapping[str, torch.Tensor], everything_HK: torch.Tensor, kv: Sequence[tuple[torch.Tensor, ...]]
    ) -> dict[str, torch.Tensor]:
        """As `Plan.pool`."""
        reads = {}
        for name, (k_RHK, v_RHK) in zip((*self.layouts, names.FUSION), kv, strict=True):
            # (B, H, 2, K): a stream's own query beside the one that reads every stream.
            pair = torch.stack([own[name], everything_HK], dim=1).to(k_RHK.dtype).expand(self.n_cells, -1, -1, -1)
            if name in self.layouts:
                layout = self.layouts[name]
                reads[name] = read(pair, layout.split(k_RHK), layout.split(v_RHK), layout)
            else:
                reads[name] = read_dense(pair, self._fusion(k_RHK), self._fusion(v_RHK))
        pooled = {name: merge_heads(value[:, :, :1]) for name, (value, _) in reads.items()}
        pooled[names.GLOBAL] = merge_heads(join([(value[:, :, 1:], lse[:, :, 1:]) for value, lse in reads.values()]))
        return pooled

    def _fusion(self, x_RHK: torch.Tensor) -> torch.Tensor:
        """Fusion rows as (B, H, F, K)."""
        return x_RHK.unflatten(0, (self.n_cells, -1)).transpose(1, 2)
