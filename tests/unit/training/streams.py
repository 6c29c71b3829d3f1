"""A small module and an endless stream for the loop's tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass
class Batch:
    x: torch.Tensor

    def __len__(self) -> int:
        return len(self.x)

    def to(self, device: object) -> "Batch":
        return self


class Stream:
    """Batch number i is a function of i."""

    def __init__(self) -> None:
        self.i = 0

    def __iter__(self) -> Iterator[Batch]:
        while True:
            self.i += 1
            yield Batch(torch.randn(8, 4, generator=torch.Generator().manual_seed(self.i)))

    def state_dict(self) -> dict[str, Any]:
        return {"i": self.i}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.i = state["i"]


def module() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.3), nn.GELU(), nn.Linear(16, 1))
