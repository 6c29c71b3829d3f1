"""The processes that train together: this one alone, or the ranks that torchrun has started.

Gradients are summed over ranks once a step, after the last piece of a batch, and not by `DistributedDataParallel`: a
batch here is several forward and backward passes (`gradients.py`), the loss is already that of the whole batch, so
nothing is to be averaged, and a part of the model that only one rank has used (a modality that others lack) needs no
care. Every rank ends with the same bits.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from velocorpus.errors import UserMistake

BUCKET = 2**25  # numbers that are summed over ranks at a time: 128 MiB
PATIENCE = timedelta(minutes=30)  # until a rank that hears nothing of the others gives up

Value = TypeVar("Value")


@dataclass(frozen=True)
class World:
    """`size` processes of which this one is `rank`, on its own `device`. The default is one process on the CPU."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def gathered(self, x_B: torch.Tensor) -> torch.Tensor:
        """The rows of all ranks, rank after rank, without gradient; every rank gives the same shape."""
        x_B = x_B.detach().contiguous()
        if self.size == 1:
            return x_B
        parts = [torch.empty_like(x_B) for _ in range(self.size)]
        dist.all_gather(parts, x_B)
        return torch.cat(parts)

    def summed(self, x: torch.Tensor) -> torch.Tensor:
        """The sum over ranks, without gradient."""
        x = x.detach().clone()
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def any(self, here: bool) -> bool:
        """Whether it is so on any rank."""
        return bool(self.summed(torch.tensor(float(here), device=self.device))) if self.size > 1 else here

    def from_first(self, value: Value) -> Value:
        """What rank 0 has (any picklable object), on every rank."""
        if self.size == 1:
            return value
        held = [value]
        dist.broadcast_object_list(held, device=self.device)
        return held[0]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each gradient by its sum over ranks; one that no rank has stays None."""
        if self.size == 1:
            return
        has = self.summed(torch.tensor([float(p.grad is not None) for p in parameters], device=self.device)).tolist()
        used = [p for p, n_ranks in zip(parameters, has, strict=True) if n_ranks]
        for p in used:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        for bucket in _buckets(p.grad for p in used if p.grad is not None):
            flat = torch.cat([grad.flatten() for grad in bucket])
            dist.all_reduce(flat)
            for grad, part in zip(bucket, flat.split([grad.numel() for grad in bucket]), strict=True):
                grad.copy_(part.view_as(grad))


def _buckets(tensors: Iterable[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and sum(t.numel() for t in bucket) + tensor.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the ranks that the environment tells of (RANK, WORLD_SIZE … as torchrun sets them): gloo or nccl.

    On `cuda` without a number each process takes the GPU of its LOCAL_RANK. Without WORLD_SIZE there is one process.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World(device=device)
        return
    if device.type == "cuda":
        local = int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index
        if local >= torch.cuda.device_count():
            raise UserMistake(
                f"Process {local} of this machine has no GPU of its own, there are {torch.cuda.device_count()}; start "
                "one process a GPU (torchrun --nproc-per-node)."
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
        dist.barrier()
    finally:
        dist.destroy_process_group()
