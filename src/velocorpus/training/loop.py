"""The training loop: AdamW, warm-up and cosine, clipping, metrics as JSON lines, checkpoints, exact resume.

It trains any module on any stream of batches, on one process or on several ranks: the caller gives the gradients. On a
CPU with the same number of threads a run that was killed and resumed ends in the same bits as one that was not:
weights, optimiser, order of the data, random numbers, metrics. Metrics hold no times; those are in `speed.jsonl`.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from velocorpus.config import FinetuneConfig, PretrainConfig
from velocorpus.errors import TryLater
from velocorpus.training.checkpoint import load_checkpoint, save_checkpoint, say
from velocorpus.training.divergence import diverged, keep_batch, stop_at
from velocorpus.training.ranks import World
from velocorpus.training.records import METRICS_FILE, SPEED_FILE, Metrics, Speed
from velocorpus.training.sharding import clip_gradients, is_sharded
from velocorpus.training.stopping import asked_to_stop

REPORT_STEPS = 100  # a line of progress and of speed at least this often


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
    keep_checkpoints: int = 2
    validate_steps: int = 50
    diverged_at: float = math.inf

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
# `gradients(batch, step)` adds the gradients of "loss" to the parameters, and gives named scalar tensors.
AddGradients = Callable[[Any, int], dict[str, torch.Tensor]]


def gradients_of(loss: Loss, seed: int) -> AddGradients:
    """The gradients of a loss that takes a batch in one piece."""

    def gradients(batch: Any, step: int) -> dict[str, torch.Tensor]:
        values = loss(batch, step_rng(seed, step))
        values["loss"].backward()
        return {key: value.detach() for key, value in values.items()}

    return gradients


def train(
    module: nn.Module,
    batches: Batches,
    gradients: AddGradients,
    schedule: Schedule,
    folder: Path,
    *,
    validate: Callable[[], dict[str, float]] | None = None,
    watch: Callable[[int, dict[str, float]], None] | None = None,
    world: World | None = None,
    board: Path | None = None,
    flop: Callable[[Any], float] | None = None,
    name: str = "train",
    shown: Sequence[str] = ("loss", "validation_loss"),
) -> dict[str, float]:
    """Train the parameters of `module` that require a gradient; gives the last validation's (or step's) metrics.

    `folder` gets `metrics.jsonl` (one object a step, with `split`), `speed.jsonl` and checkpoints; if it holds a
    checkpoint, training goes on from there. Of several ranks the first writes; those validate that have a `validate`,
    in evaluation mode without gradients, and does not move the random numbers; `watch` sees step and metrics after each
    step. `flop` tells a batch's operations, `shown` are the metrics of the progress lines. A loss that is not finite,
    or above `diverged_at` times the first one, stops the run with a `UserMistake` that names the file of the batch;
    SIGTERM and SIGUSR1 stop it after the step, saved, with a `TryLater`.
    """
    world = world or World(device=next(module.parameters()).device)
    torch.manual_seed(schedule.seed)
    optimizer = make_optimizer(module, schedule)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    done = 0
    if found := load_checkpoint(folder, module, optimizer):
        done, state = found
        batches.load_state_dict(state)
        say(f"{name}: resumed after step {done} of {schedule.steps}")
    metrics = Metrics(folder / METRICS_FILE if world.rank == 0 else None, done, board=board)
    first_loss = world.from_first(metrics.first_loss)
    speed = Speed(folder / SPEED_FILE if world.rank == 0 else None, world.device)
    report_steps = max(1, min(schedule.steps // 20, REPORT_STEPS))
    stream = iter(batches)
    with asked_to_stop() as asked:
        for step in range(done, schedule.steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.lr(step)
            before = time.monotonic()
            batch = next(stream).to(world.device)
            speed.drew(len(batch) * world.size, time.monotonic() - before, flop(batch) if flop else 0.0)
            module.train()
            optimizer.zero_grad()
            named = gradients(batch, step)
            world.sum_gradients([p for p in parameters if not is_sharded(p)])
            named["grad_norm"] = clip_gradients(parameters, schedule.clip_norm)
            values = dict(zip(named, torch.stack([v.float() for v in named.values()]).tolist(), strict=True))
            first_loss = values["loss"] if first_loss is None else first_loss
            if diverged(values["loss"], values["grad_norm"], first_loss, schedule.diverged_at):
                kept = folder / f"diverged_step_{step + 1:08d}_rank_{world.rank}.safetensors"
                keep_batch(kept, batch)
                raise stop_at(
                    step + 1, values["loss"], values["grad_norm"], schedule.lr_peak, schedule.warmup_steps, kept
                )
            optimizer.step()
            metrics.add(step + 1, "train", values | {"lr": schedule.lr(step)})
            last = step + 1 == schedule.steps
            if validate and ((step + 1) % schedule.validate_steps == 0 or last):
                module.eval()
                with torch.no_grad(), torch.random.fork_rng():
                    checked = validate()
                metrics.add(step + 1, "validation", checked)
            if watch:
                watch(step + 1, metrics.last)
            stop = world.any(bool(asked.signal)) and not last
            if (stop or (step + 1) % schedule.checkpoint_steps == 0) and not last:
                to, state = folder if world.rank == 0 else None, batches.state_dict()
                save_checkpoint(to, step + 1, module, optimizer, state, keep=schedule.keep_checkpoints)
            if (step + 1) % report_steps == 0 or last:
                per_s = speed.end(step + 1)["cells_per_s"]
                text = "  ".join(f"{key} {metrics.last[key]:.4g}" for key in shown if key in metrics.last)
                say(f"{name}: step {step + 1}/{schedule.steps}  {text}  {per_s:.0f} cells/s")
            if stop:
                world.from_first(None)  # a launcher kills the others when one has ended, and the first may still save
                by = asked.signal or "a signal to another rank"
                raise TryLater(f"Stopped by {by} after step {step + 1}, which is saved; --resume goes on from there.")
    module.eval()
    return metrics.last


def make_optimizer(module: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW; weight decay on matrices only, not on embeddings, biases, norms and single vectors.

    Single numbers are a group of their own: sharding leaves them whole, and a fused step takes no mixture.
    """
    embeddings = {id(p) for m in module.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    groups: dict[str, list[nn.Parameter]] = {"decay": [], "vectors": [], "numbers": []}
    for p in module.parameters():
        if p.requires_grad:
            kind = "decay" if p.ndim >= 2 and id(p) not in embeddings else "vectors" if p.ndim else "numbers"
            groups[kind].append(p)
    return torch.optim.AdamW(
        [
            {"params": parameters, "weight_decay": schedule.weight_decay if kind == "decay" else 0.0}
            for kind, parameters in groups.items()
            if parameters
        ],
        lr=schedule.lr_peak,
        betas=(0.9, 0.98),
        fused=True,
    )


def step_rng(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step: a function of seed and step alone, so a resumed run draws the same."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 2_654_435_761 % 2**63)
