"""A loss that is not finite, or runs away: the batch that caused it is kept, and the run stops."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from velocorpus.errors import UserMistake
from velocorpus.files import replacing


def diverged(loss: float, norm: float, first_loss: float | None, at: float) -> bool:
    """Whether a loss or a norm is not finite, or the loss is above `at` times the first step's (at least 1)."""
    limit = at * max(1.0, first_loss if first_loss is not None else math.inf)
    return not (math.isfinite(loss) and math.isfinite(norm)) or loss > limit


def keep_batch(path: Path, batch: Any) -> None:
    """Write every tensor of a batch, named by where it stands in it (`parts.0.layers.spliced.genes_T`)."""
    with replacing(path) as aside:
        save_file({name: tensor.clone() for name, tensor in tensors_in(batch)}, aside)


def tensors_in(value: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors and arrays in nested dataclasses, lists and mappings, with dotted names."""
    if isinstance(value, torch.Tensor | np.ndarray):
        yield name or "batch", torch.as_tensor(value).detach().cpu().contiguous()
        return
    inside: Iterable[tuple[Any, Any]]
    if is_dataclass(value):
        inside = [(field.name, getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    else:
        return
    for key, inner in inside:
        yield from tensors_in(inner, f"{name}.{key}".lstrip("."))


def stop_at(step: int, loss: float, norm: float, lr_peak: float, warmup_steps: int, path: Path) -> UserMistake:
    """The sentence."""
    return UserMistake(
        f"Training diverged at step {step}: loss {loss:.6g}, gradient norm {norm:.6g}; the batch is in {path}. Lower "
        f"lr_peak (now {lr_peak}) or lengthen warmup_steps (now {warmup_steps})."
    )
