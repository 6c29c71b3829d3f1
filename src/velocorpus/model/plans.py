"""Which kernels compute the attention of a batch: by device and number format, or by name.

A plan is made once per batch, outside of what is compiled, and knows where each token stands. The blocks are the same
for all plans: they project and finish streams of rows, the plan lets the rows attend. `sdpa` runs everywhere; `flash`
needs CUDA and 16-bit numbers; `flex` runs in any format on CUDA, and forward on a CPU.

Shape suffix legend: B = cells, T = packed tokens, F = fusion tokens, R = rows of a stream, H = heads, K = dimension of
a head, D = model dimension.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import torch

from velocorpus.errors import UserMistake
from velocorpus.model.attention import SplitPlan
from velocorpus.model.packed import FlashPlan, FlexPlan

Attention = Literal["auto", "sdpa", "flash", "flex"]


class Plan(Protocol):
    """Where a batch's tokens stand in streams of rows, and how the rows attend."""

    def place(self, tokens: Mapping[str, torch.Tensor], fusion_BFD: torch.Tensor) -> list[torch.Tensor]:
        """The modalities' packed tokens (T, D) and the fusion tokens as streams, (R, D) each."""

    def take(self, streams: Sequence[torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The inverse of `place`."""

    def attend(self, qkv: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
        """What each row finds by the masks of `masks.attend_blocks`: (R, H, K) thrice for each stream to (R, D)."""

    def pool(
        self, own: Mapping[str, torch.Tensor], everything_HK: torch.Tensor, kv: Sequence[tuple[torch.Tensor, ...]]
    ) -> dict[str, torch.Tensor]:
        """What each cell's output queries find by `masks.attend_pooling`: (B, D) by name, missing modalities left out.

        `own` has the query (H, K) of each modality and of fusion; `kv` keys and values (R, H, K) of each stream.
        """


def choose(wanted: Attention, device: torch.device, dtype: torch.dtype) -> str:
    """The name of the kernels for projections of this number format on this device; refuses what cannot run there."""
    short = dtype in (torch.float16, torch.bfloat16)
    if wanted == "auto":
        new = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
        return "flash" if new and short else "sdpa"
    if wanted == "flash" and not (device.type == "cuda" and short):
        raise UserMistake(
            f"attention: flash needs CUDA and 16-bit numbers, not {device.type} and {dtype}; use auto, sdpa, or bf16."
        )
    return wanted


def compute_dtype(parameter: torch.Tensor) -> torch.dtype:
    """The number format of a linear layer's output here and now: autocast's, else the weights'."""
    kind = parameter.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else parameter.dtype


def plan_of(
    name: str, offsets: Mapping[str, torch.Tensor], n_cells: int, n_fusion: int, device: torch.device | str
) -> Plan:
    """A plan for cells whose tokens stand at `offsets` (on the CPU); each cell has at least one in each modality."""
    return PLANS[name].of(offsets, n_cells, n_fusion, device)


PLANS: dict[str, type[SplitPlan] | type[FlashPlan] | type[FlexPlan]] = {
    "sdpa": SplitPlan,
    "flash": FlashPlan,
    "flex": FlexPlan,
}
