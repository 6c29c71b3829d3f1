"""Attention on CUDA over one packed stream: each cell's modalities one after another, then its fusion tokens.

So a modality of a cell, and a whole cell, are both one run of rows, and every query of Zorro attends to one run: flash
kernels for variable lengths, or flex_attention with a mask of runs, compute it without padding and without a copy of
keys or values. Reads of several streams joined by their log-sum-exp, as `attention.py` has them, are not possible here:
the flash kernels give the log-sum-exp no gradient.

Shape suffix legend: B = cells, S = segments of a cell (modalities, fusion), F = fusion tokens, T = packed tokens of a
modality, R = rows of the stream, N = queries, H = heads, K = dimension of a head, D = model dimension.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import torch

from velocorpus import names

if TYPE_CHECKING:
    # It brings the compiler's front end along: imported where it is used.
    from torch.nn.attention.flex_attention import BlockMask

BLOCK = 128  # rows and columns of flex_attention's blocks


@dataclass(frozen=True)
class Packed:
    """Where the tokens stand; what both kernels share."""

    modalities: tuple[str, ...]  # those of the batch
    n_cells: int
    n_fusion: int
    row_T: dict[str, torch.Tensor]  # int64, the row of each token of a modality
    fusion_N: torch.Tensor  # int64, the rows of fusion tokens
    place_R: torch.Tensor  # int64, each row's place in the modalities' tokens and fusion tokens one after another
    segments: torch.Tensor  # int32, B * S + 1 bounds
    cells: torch.Tensor  # int32, B + 1 bounds
    longest_segment: int
    longest_cell: int

    @classmethod
    def of(cls, offsets: Mapping[str, torch.Tensor], n_cells: int, n_fusion: int, device: torch.device | str) -> Self:
        """`offsets` on the CPU; every cell has a token in every modality of them. Nobody waits for the device."""
        lengths_BS = torch.stack([*(x.diff() for x in offsets.values()), torch.full((n_cells,), n_fusion)], dim=1)
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths_BS.flatten().cumsum(0)])
        first_BS = starts[:-1].view_as(lengths_BS)
        fusion_N = (first_BS[:, -1:] + torch.arange(n_fusion)).flatten().to(device, non_blocking=True)
        row_T = {}
        for i, (name, bounds) in enumerate(offsets.items()):
            n_tokens = int(bounds[-1])
            shift_B = (first_BS[:, i] - bounds[:-1]).to(device, non_blocking=True)
            lengths_B = lengths_BS[:, i].to(device, non_blocking=True)
            row_T[name] = shift_B.repeat_interleave(lengths_B, output_size=n_tokens)
            row_T[name] += torch.arange(n_tokens, device=device)
        rows = torch.cat([*row_T.values(), fusion_N])
        place_R = torch.empty_like(rows).index_copy_(0, rows, torch.arange(len(rows), device=device))
        segments = starts.to(device, torch.int32, non_blocking=True)
        return cls(
            modalities=tuple(offsets),
            n_cells=n_cells,
            n_fusion=n_fusion,
            row_T=row_T,
            fusion_N=fusion_N,
            place_R=place_R,
            segments=segments,
            cells=segments[:: lengths_BS.shape[1]].contiguous(),
            longest_segment=int(lengths_BS.max()),
            longest_cell=int(lengths_BS.sum(1).max()),
        )

    def place(self, tokens: Mapping[str, torch.Tensor], fusion_BFD: torch.Tensor) -> list[torch.Tensor]:
        """As `Plan.place`."""
        all_RD = torch.cat([*(tokens[m] for m in self.modalities), fusion_BFD.flatten(0, 1)])
        return [all_RD.index_select(0, self.place_R)]

    def take(self, streams: Sequence[torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """As `Plan.take`."""
        (x_RD,) = streams
        fusion_BFD = x_RD.index_select(0, self.fusion_N).unflatten(0, (self.n_cells, self.n_fusion))
        return {m: x_RD.index_select(0, row_T) for m, row_T in self.row_T.items()}, fusion_BFD

    def pool(
        self, own: Mapping[str, torch.Tensor], everything_HK: torch.Tensor, kv: Sequence[tuple[torch.Tensor, ...]]
    ) -> dict[str, torch.Tensor]:
        """As `Plan.pool`."""
        ((k_RHK, v_RHK),) = kv
        outputs = (*self.modalities, names.FUSION)
        own_SHK = torch.stack([own[name] for name in outputs]).to(k_RHK.dtype)
        everything_1HK = everything_HK[None].to(k_RHK.dtype)
        found_BSD, found_B1D = self._pool(own_SHK, everything_1HK, k_RHK, v_RHK)
        return {**dict(zip(outputs, found_BSD.unbind(1), strict=True)), names.GLOBAL: found_B1D[:, 0]}

    def _pool(
        self, own_SHK: torch.Tensor, everything_1HK: torch.Tensor, k_RHK: torch.Tensor, v_RHK: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each segment's own query (B, S, D) and each cell's (B, 1, D) find."""
        raise NotImplementedError


# (queries, keys, values (…, H, K), bounds of the runs of queries and of keys, the longest of each) -> like queries.
Varlen = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int], torch.Tensor]


def flash(
    q_NHK: torch.Tensor,
    k_RHK: torch.Tensor,
    v_RHK: torch.Tensor,
    q_bounds: torch.Tensor,
    k_bounds: torch.Tensor,
    q_longest: int,
    k_longest: int,
) -> torch.Tensor:
    """Run i of the queries attends to run i of the keys. 16-bit numbers on CUDA."""
    # Imported here: a torch without it can still use the other kernels.
    from torch.nn.attention.varlen import varlen_attn

    found_NHK = varlen_attn(q_NHK, k_RHK, v_RHK, q_bounds, k_bounds, q_longest, k_longest)
    assert isinstance(found_NHK, torch.Tensor)
    return found_NHK


@dataclass(frozen=True)
class FlashPlan(Packed):
    """`plans.Plan` by kernels for variable lengths: all segments at once, then the fusion tokens over whole cells.

    The first call lets the fusion tokens attend to themselves, which is thrown away: F² products a cell.
    """

    kernel: Varlen = flash

    def attend(self, qkv: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        """As `Plan.attend`."""
        ((q, k, v),) = qkv
        longest = self.longest_segment
        found_RHK = self.kernel(q, k, v, self.segments, self.segments, longest, longest)
        fused_NHK = self._read(q.index_select(0, self.fusion_N), k, v, self.cells, self.longest_cell)
        return [found_RHK.index_copy(0, self.fusion_N, fused_NHK).flatten(1)]

    def _pool(
        self, own_SHK: torch.Tensor, everything_1HK: torch.Tensor, k_RHK: torch.Tensor, v_RHK: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        asked = ((own_SHK, self.segments, self.longest_segment), (everything_1HK, self.cells, self.longest_cell))
        own, everything = (
            self._read(q.repeat(self.n_cells, 1, 1), k_RHK, v_RHK, bounds, longest).flatten(1)
            for q, bounds, longest in asked
        )
        return own.unflatten(0, (self.n_cells, -1)), everything[:, None]

    def _read(
        self, q_NHK: torch.Tensor, k_RHK: torch.Tensor, v_RHK: torch.Tensor, bounds: torch.Tensor, longest: int
    ) -> torch.Tensor:
        """Equally many queries read each run of keys."""
        each = len(q_NHK) // (len(bounds) - 1)
        q_bounds = torch.arange(len(bounds), device=bounds.device, dtype=torch.int32) * each
        return self.kernel(q_NHK, k_RHK, v_RHK, q_bounds, bounds, each, longest)


@dataclass(frozen=True)
class FlexPlan(Packed):
    """`plans.Plan` by flex_attention: every query carries the run of keys that it attends to."""

    masks: tuple["BlockMask", ...] = ()  # of the rows inside a block, and of the output queries

    @classmethod
    def of(cls, offsets: Mapping[str, torch.Tensor], n_cells: int, n_fusion: int, device: torch.device | str) -> Self:
        """As `Packed.of`; the masks are made here, outside of what is compiled."""
        plan = super().of(offsets, n_cells, n_fusion, device)
        own_BS = (plan.segments[:-1].view(n_cells, -1), plan.segments[1:].view(n_cells, -1))
        cell_B1 = (plan.cells[:-1, None], plan.cells[1:, None])
        # Inside a block the last segment, the fusion tokens, attends to the cell; of the outputs, one more query does.
        rows = (torch.cat([own[:, :-1], cell], 1).flatten() for own, cell in zip(own_BS, cell_B1, strict=True))
        first_R, last_R = (x.repeat_interleave(plan.segments.diff(), output_size=len(plan.place_R)) for x in rows)
        first_N, last_N = (torch.cat([own, cell], 1).flatten() for own, cell in zip(own_BS, cell_B1, strict=True))
        n_rows = len(plan.place_R)
        return replace(plan, masks=(mask_of_runs(first_R, last_R, n_rows), mask_of_runs(first_N, last_N, n_rows)))

    def attend(self, qkv: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        """As `Plan.attend`."""
        return [flex(*qkv[0], self.masks[0])]

    def _pool(
        self, own_SHK: torch.Tensor, everything_1HK: torch.Tensor, k_RHK: torch.Tensor, v_RHK: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        q_NHK = torch.cat([own_SHK, everything_1HK]).repeat(self.n_cells, 1, 1)
        found_BND = flex(q_NHK, k_RHK, v_RHK, self.masks[1]).unflatten(0, (self.n_cells, -1))
        return found_BND[:, :-1], found_BND[:, -1:]


def flex(q_NHK: torch.Tensor, k_RHK: torch.Tensor, v_RHK: torch.Tensor, mask: "BlockMask") -> torch.Tensor:
    """flex_attention under a mask, (N, H * K); on CUDA it is compiled, also where the blocks are not."""
    from torch.nn.attention.flex_attention import flex_attention

    kernel = flex_attention if torch.compiler.is_compiling() or not q_NHK.is_cuda else _compiled(flex_attention)
    found_1HNK = kernel(*(x.transpose(0, 1)[None] for x in (q_NHK, k_RHK, v_RHK)), block_mask=mask)
    return found_1HNK[0].transpose(0, 1).flatten(1)


@cache
def _compiled(kernel: Callable[..., Any]) -> Any:
    return torch.compile(kernel, dynamic=True)


def mask_of_runs(first_N: torch.Tensor, last_N: torch.Tensor, n_keys: int) -> "BlockMask":
    """Query n attends to keys `[first_N[n], last_N[n])` of `n_keys`.

    `create_block_mask` evaluates all pairs of rows, 10¹⁰ for a batch; here each block follows from the least and the
    greatest of its bounds. A block counts as whole where every one of its queries attends to all its keys.
    """
    from torch.nn.attention.flex_attention import BlockMask

    n_blocks = -(-n_keys // BLOCK)
    missing = -len(first_N) % BLOCK
    first_QN, last_QN = (torch.cat([x, x[-1:].expand(missing)]).view(-1, BLOCK) for x in (first_N, last_N))
    block = torch.arange(n_blocks, device=first_N.device)
    touched = _between(block, first_QN.amin(1) // BLOCK, (last_QN.amax(1) - 1) // BLOCK + 1)
    whole = _between(block, -(-first_QN.amax(1) // BLOCK), last_QN.amin(1) // BLOCK)
    partly, wholly = (
        (
            x.sum(-1, dtype=torch.int32)[None, None],
            x.int().argsort(dim=-1, descending=True, stable=True).int()[None, None],
        )
        for x in (touched & ~whole, touched & whole)
    )

    def attends(b: torch.Tensor, h: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return (key >= first_N[query]) & (key < last_N[query])

    return BlockMask.from_kv_blocks(
        *partly, *wholly, BLOCK_SIZE=BLOCK, mask_mod=attends, seq_lengths=(len(first_N), n_keys)
    )


def _between(block: torch.Tensor, first_Q: torch.Tensor, last_Q: torch.Tensor) -> torch.Tensor:
    return (block >= first_Q[:, None]) & (block < last_Q[:, None])
