"""Weights, gradients and moments shared out over the ranks, for what one GPU does not hold (FSDP2, `fully_shard`).

Each rank keeps a slice of every weight and of its moments. A block's weights are gathered while it computes, and its
gradients summed into slices when its backward pass ends; so a rank holds 16 bytes a weight over the number of ranks,
and one block. Every rank passes every block equally often, which is what the gathering waits for: all have as many
chunks, and a corpus' batches have every modality. Checkpoints hold whole tensors, as those of a run without shards.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from velocorpus.training.ranks import World


def shard(module: nn.Module, parts: Iterable[nn.Module], world: World) -> None:
    """Share `module` out over the ranks and move it to their devices; each of `parts` is gathered by itself.

    Every rank comes with equal weights. Single numbers stay whole. Gradients are summed, not averaged.
    """
    from torch.distributed.device_mesh import init_device_mesh  # slow to import, and seldom needed
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(world.device.type, (world.size,))
    single = {p for p in module.parameters() if not p.ndim}
    for part in (*parts, module):
        sharded = fully_shard(part, mesh=mesh, ignored_params=single)
        sharded.set_gradient_divide_factor(1.0)
        sharded.set_force_sum_reduction_for_comms(True)


def is_sharded(tensor: torch.Tensor) -> bool:
    """Whether this rank has a part of it only."""
    return hasattr(tensor, "full_tensor")


def whole(tensors: Mapping[str, torch.Tensor], *, keep: bool) -> dict[str, torch.Tensor]:
    """The tensors on the CPU, sharded ones gathered, for which every rank must call; nothing without `keep`."""
    found = {}
    for name, tensor in tensors.items():
        gathered = _gathered(tensor)
        if keep:
            found[name] = gathered.detach().cpu().contiguous()
    return found


def share(tensor: torch.Tensor, held: torch.Tensor) -> torch.Tensor:
    """A whole tensor, or this rank's part of it where `held` is sharded."""
    if not is_sharded(held) or tensor.shape != held.shape:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(held, DTensor)
    return distribute_tensor(tensor.to(held.device), held.device_mesh, held.placements, src_data_rank=None)


def clip_gradients(parameters: Sequence[nn.Parameter], clip_norm: float) -> torch.Tensor:
    """`nn.utils.clip_grad_norm_`, also where some of the weights are sharded and others are not."""
    sharded = [p for p in parameters if is_sharded(p)]
    if not sharded:
        return nn.utils.clip_grad_norm_(parameters, clip_norm)
    kinds = (sharded, [p for p in parameters if not is_sharded(p)])
    norms = [nn.utils.get_total_norm([p.grad for p in kind if p.grad is not None]) for kind in kinds]
    norm = torch.hypot(*map(_gathered, norms))
    for kind in kinds:
        nn.utils.clip_grads_with_norm_(kind, clip_norm, norm)
    return norm


def _gathered(tensor: torch.Tensor) -> torch.Tensor:
    full: torch.Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return full
