"""The training loop: AdamW, warm-up and cosine, clipping, metrics as JSON lines, checkpoints, exact resume.

It trains any module on any stream of batches: the caller gives the loss. On a CPU with the same number of threads a
run that was killed and resumed ends in the same bits as one that was not: weights, optimiser, order of the data, random
numbers, metrics. Metrics hold no times; speed goes to the progress lines alone.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from velocorpus.config import FinetuneConfig, PretrainConfig
from velocorpus.errors import UserMistake
from velocorpus.files import write_text
from velocorpus.training.checkpoint import METRICS_FILE, load_checkpoint, save_checkpoint, say


class Batches(Protocol):
    """An endless stream of batches whose place can be kept: `state_dict` is JSON-able."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast; the fields are those of `PretrainConfig` and `FinetuneConfig`."""

    steps: int
    lr_peak: float
    warmup_steps: int
    weight_decay: float
    clip_norm: float
    seed: int
    checkpoint_steps: int = 100
    validate_steps: int = 50

    @classmethod
    def of(cls, config: PretrainConfig | FinetuneConfig) -> "Schedule":
        """The schedule of one section of the configuration."""
        return cls(**{k: v for k, v in config.model_dump().items() if k in cls.__dataclass_fields__})

    def lr(self, step: int) -> float:
        """The learning rate of step 0, 1, …: linear warm-up to the peak, then a cosine down to a hundredth of it."""
        if step < self.warmup_steps:
            return self.lr_peak * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        return self.lr_peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


# `loss(batch, rng)` gives named scalar tensors, of which "loss" is minimised; `rng` is a CPU generator seeded by step.
Loss = Callable[[Any, torch.Generator], dict[str, torch.Tensor]]


def train(
    module: nn.Module,
    batches: Batches,
    loss: Loss,
    schedule: Schedule,
    folder: Path,
    *,
    validate: Callable[[], dict[str, float]] | None = None,
    device: torch.device | str = "cpu",
    name: str = "train",
    shown: Sequence[str] = ("loss", "validation_loss"),
) -> dict[str, float]:
    """Train the parameters of `module` that require a gradient; gives the last validation's (or step's) metrics.

    `folder` gets `metrics.jsonl` (one object a step, with `split`) and checkpoints; if it holds a checkpoint, training
    goes on from there. `validate` runs in evaluation mode without gradients, and does not move the random numbers.
    `shown` are the metrics of the progress lines. A loss that is not finite stops the run with a `UserMistake`.
    """
    torch.manual_seed(schedule.seed)
    optimizer = make_optimizer(module, schedule)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    found = load_checkpoint(folder, module, optimizer)
    done = 0
    if found:
        done, state = found
        batches.load_state_dict(state)
        say(f"{name}: resumed after step {done} of {schedule.steps}")
    metrics = _Metrics(folder / METRICS_FILE, done)
    stream = iter(batches)
    started, cells = time.monotonic(), 0
    for step in range(done, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.lr(step)
        batch = next(stream)
        cells += len(batch)
        module.train()
        losses = loss(batch.to(device), step_rng(schedule.seed, step))
        optimizer.zero_grad()
        losses["loss"].backward()
        norm = nn.utils.clip_grad_norm_(parameters, schedule.clip_norm)
        values = {key: float(value.detach()) for key, value in losses.items()}
        if not (math.isfinite(values["loss"]) and math.isfinite(float(norm))):
            raise UserMistake(
                f"Training diverged at step {step + 1}: loss {values['loss']}, gradient norm {float(norm)}; "
                f"lower lr_peak (now {schedule.lr_peak}) or lengthen warmup_steps (now {schedule.warmup_steps})."
            )
        optimizer.step()
        metrics.add(step + 1, "train", values | {"lr": schedule.lr(step), "grad_norm": float(norm)})
        last = step + 1 == schedule.steps
        if validate and ((step + 1) % schedule.validate_steps == 0 or last):
            module.eval()
            with torch.no_grad(), torch.random.fork_rng():
                checked = validate()
            metrics.add(step + 1, "validation", checked)
        if (step + 1) % schedule.checkpoint_steps == 0 and not last:
            save_checkpoint(folder, step + 1, module, optimizer, batches.state_dict())
        if (step + 1) % max(1, schedule.steps // 20) == 0 or last:
            speed = cells / (time.monotonic() - started)
            values = {key: metrics.last[key] for key in shown if key in metrics.last}
            text = "  ".join(f"{key} {value:.4g}" for key, value in values.items())
            say(f"{name}: step {step + 1}/{schedule.steps}  {text}  {speed:.0f} cells/s")
    module.eval()
    return metrics.last


def make_optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, not on embeddings, biases, norms and single vectors."""
    embeddings = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    moving = [p for p in module.parameters() if p.requires_grad]
    decay = [p for p in moving if p.ndim >= 2 and id(p) not in embeddings]
    chosen = {id(p) for p in decay}
    groups = [
        {"params": decay, "weight_decay": schedule.weight_decay},
        {"params": [p for p in moving if id(p) not in chosen], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]], lr=schedule.lr_peak, betas=(0.9, 0.98), fused=True
    )


def step_rng(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step: a function of seed and step alone, so a resumed run draws the same."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 2_654_435_761 % 2**63)


class _Metrics:
    """`metrics.jsonl`: one JSON object a line; on resume, lines after the checkpoint's step are dropped."""

    def __init__(self, path: Path, done: int) -> None:
        self.path = path
        self.last: dict[str, float] = {}
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        # A kill may leave half a line; it can only be after the checkpoint's step.
        whole = [line for line in lines if line.endswith("\n")]
        write_text(path, "".join(line for line in whole if json.loads(line)["step"] <= done))

    def add(self, step: int, split: str, values: dict[str, float]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        prefix = "" if split == "train" else f"{split}_"
        self.last |= {f"{prefix}{key}": value for key, value in values.items()}
