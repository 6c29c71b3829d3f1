"""Pretraining on one GPU: throughput by model, length, kernels and compiling, and where the time of a step goes.

python benchmarks/train_gpu.py [--models base small] [--genes 1024 real 2048 512] [--corpus DIR] [--seconds 5]
                               [--budget 500] [--tiny]

Needs what `velocorpus[train]` installs and no data. What matters most comes first; what is not begun after `--budget`
seconds is named and not run. With `--corpus` (of cells from `realistic.py`, say) cells also come from shards by the
loader. `--tiny` proves the script on a CPU.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import yaml

from train_speed import HEAD, Trainer, cells_of, peak_tflops, random_cells, row
from velocorpus.config import ModelConfig
from velocorpus.corpus import Corpus
from velocorpus.errors import UserMistake

MODELS = Path(__file__).parents[1] / "config/models"
TOKENS = 2**17  # in a step
REAL_TOKENS = 3_100  # of the mean cell
# As models are trained, and then otherwise: kernels of the attention, and whether torch.compile makes the others.
KERNELS = (("flash", True), ("flash", False), ("flex", True), ("sdpa", True), ("sdpa", False))


def trainers(names: list[str], device: torch.device, tiny: bool) -> Iterator[Trainer]:
    """One after another, so that one at a time is on the device."""
    for attention, compiled in (("sdpa", False),) if tiny else KERNELS:
        for name in names:
            given = yaml.safe_load((MODELS / f"{name}.yaml").read_text())["model"]
            model = ModelConfig(**given | {"max_genes": 2048, "attention": attention})
            yield Trainer(model, device, bfloat16=True, compiled=compiled)


def measure(trainer: Trainer, genes: str, corpus: Corpus | None, seconds: float, peak: float, tiny: bool) -> None:
    """Print the rows of one length."""
    n_cells = 4 if tiny else TOKENS // (REAL_TOKENS if genes == "real" else 2 * int(genes)) // 8 * 8
    sources = {"memory": random_cells(trainer.model, genes, n_cells)}
    if corpus and genes == "real":
        sources["corpus"] = cells_of(corpus, trainer.model, n_cells)
    for source, stream in sources.items():
        print(row(trainer, genes, n_cells, source, trainer.measure(stream, seconds), peak), flush=True)


def profile(trainer: Trainer, genes: str, n_cells: int) -> str:
    """The ten kernels that take most of a step, as a table."""
    on_gpu = trainer.device.type == "cuda"
    kind = torch.profiler.ProfilerActivity.CUDA if on_gpu else torch.profiler.ProfilerActivity.CPU
    by = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    stream = random_cells(trainer.model, genes, n_cells)
    trainer.step(next(stream))
    with torch.profiler.profile(activities=[kind]) as found:
        trainer.step(next(stream))
    events = sorted(found.key_averages(), key=lambda event: -getattr(event, by))
    total = sum(getattr(event, by) for event in events)
    lines = [
        f"| `{event.key[:90]}` | {event.count} | {getattr(event, by) / 1000:.2f} | {getattr(event, by) / total:.1%} |"
        for event in events[:10]
    ]
    head = f"One step of {trainer.model.name}, {n_cells} cells, {genes} genes, {total / 1000:.1f} ms in kernels:"
    return "\n".join([head, "", "| kernel | calls | ms | share |", "|---|--:|--:|--:|", *lines])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["base", "small"])
    parser.add_argument("--genes", nargs="+", default=["1024", "real", "2048", "512"])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--budget", type=float, default=500)
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    end = time.monotonic() + given.budget
    device = torch.device("cpu" if given.tiny else "cuda")
    corpus = Corpus(given.corpus) if given.corpus else None
    names, lengths = (["tiny"], ["32", "real"]) if given.tiny else (given.models, given.genes)
    peak = peak_tflops(device)
    what = "CPU" if given.tiny else torch.cuda.get_device_name()
    print(f"{what}, torch {torch.__version__}, MFU of {peak:.3g} TFLOP/s\n\n{HEAD}", flush=True)
    missed: list[str] = []
    kernels = ""
    for trainer in trainers(names, device, given.tiny):
        for genes in lengths:
            name = f"{trainer.model.name}, {genes} genes, {trainer.model.attention}, compiled: {trainer.compiled}"
            try:
                if time.monotonic() > end:
                    raise TimeoutError("no time left")
                measure(trainer, genes, corpus, given.seconds, peak, given.tiny)
                kernels = kernels or profile(trainer, genes, 4 if given.tiny else 64)
            except (RuntimeError, TimeoutError, UserMistake) as error:  # must not cost the other rows
                missed.append(f"{name}: {str(error).splitlines()[0]}")
    print("\n" + kernels)
    if missed:
        print("\nNot measured:\n\n- " + "\n- ".join(missed))


if __name__ == "__main__":
    main()
