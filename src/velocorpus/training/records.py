"""What a run writes down: `metrics.jsonl`, which is reproducible and holds no times, and `speed.jsonl`."""

import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from velocorpus.errors import UserMistake
from velocorpus.files import write_text

METRICS_FILE = "metrics.jsonl"
SPEED_FILE = "speed.jsonl"


class Metrics:
    """`metrics.jsonl`: one JSON object a line; on resume, lines after the checkpoint's step are dropped.

    `last` has the latest value of each metric, `first_loss` the loss of the first step. A `path` of None writes nothing
    (the ranks after the first). With `board`, a folder, TensorBoard gets the same values.
    """

    def __init__(self, path: Path | None, done: int, *, board: Path | None = None) -> None:
        self.path = path
        self.last: dict[str, float] = {}
        self.first_loss: float | None = None
        self.board = tensorboard(board, done) if board and path else None
        if path is None:
            return
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        # A kill may leave half a line; it can only be after the checkpoint's step.
        kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= done]
        write_text(path, "".join(kept))
        if kept:
            self.first_loss = json.loads(kept[0]).get("loss")

    def add(self, step: int, split: str, values: dict[str, float]) -> None:
        """One line."""
        if self.first_loss is None:
            self.first_loss = values.get("loss")
        prefix = "" if split == "train" else f"{split}_"
        self.last |= {f"{prefix}{key}": value for key, value in values.items()}
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, "split": split, **values}) + "\n")
        if self.board:
            for key, value in values.items():
                self.board.add_scalar(f"{split}/{key}", value, step)


def tensorboard(folder: Path, done: int) -> Any:
    """TensorBoard's writer of a folder, in which steps after `done` are void; refused where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserMistake(
            "TensorBoard is not installed: `pip install 'velocorpus[tensorboard]'`, or leave out --tensorboard; "
            "metrics.jsonl holds the same values."
        ) from None
    return SummaryWriter(str(folder), purge_step=done + 1)


# 10¹² operations a second of dense bfloat16, as the maker says, by a part of the GPU's name.
PEAKS = {"H100 PCIe": 756.0, "H100": 989.4, "H200": 989.4, "A100": 312.0}


class Speed:
    """`speed.jsonl`, a line an interval: cells a second of all ranks, the share of time that this one waited for data,
    the most memory, and where the work of a batch is known, this rank's TFLOP a second and MFU (of GPUs in `PEAKS`).
    """

    def __init__(self, path: Path | None, device: torch.device) -> None:
        self.path, self.device = path, device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self.peak = next((peak for part, peak in PEAKS.items() if part in name), None)
        self.begin()

    def begin(self) -> None:
        """A new interval."""
        self.started, self.cells, self.waited_s, self.flop = time.monotonic(), 0, 0.0, 0.0

    def drew(self, n_cells: int, waited_s: float, flop: float = 0.0) -> None:
        """A batch of `n_cells` cells, all ranks together, for which this rank has waited, and its own part's work."""
        self.cells, self.waited_s, self.flop = self.cells + n_cells, self.waited_s + waited_s, self.flop + flop

    def end(self, step: int) -> Mapping[str, float]:
        """Write the interval's line and begin the next one."""
        passed_s = time.monotonic() - self.started
        line: dict[str, float] = {
            "step": step,
            "cells_per_s": self.cells / passed_s,
            "waiting_for_data": self.waited_s / passed_s,
            "memory_gb": memory_gb(self.device),
        }
        if self.flop:
            line["tflop_per_s"] = self.flop / passed_s / 1e12
            if self.peak:
                line["mfu"] = line["tflop_per_s"] / self.peak
        if self.path:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        self.begin()
        return line


def memory_gb(device: torch.device) -> float:
    """The most memory in use so far, in 10⁹ bytes: of the GPU, or of this process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
