"""How fast the encoder pretrains: cells, tokens and TFLOP a second, MFU and memory of whole optimiser steps.

What `train_gpu.py` and `train_cpu.py` share. A step is the engine's: hidden values, encoder, both losses, backward,
clipping, AdamW. Cells are drawn at random, of equal length or as long as real cells, or come from a corpus by the
loader. Timed by the wall clock, the device waited for after every step.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from types import MappingProxyType

import torch
from torch import nn

from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.corpus import Corpus
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model.flops import flops_per_cell
from velocorpus.training.chunks import Chunks, GlobalBatches
from velocorpus.training.gradients import Gradients
from velocorpus.training.loop import Schedule, make_optimizer
from velocorpus.training.objective import Pretraining
from velocorpus.training.ranks import World

N_GENES = 36_601
# Genes expressed by the median cell, spliced and unspliced, and the spread of the logarithm (`realistic.py`).
REAL_GENES, REAL_SPREAD = (2_214, 1_103), 0.4
# bfloat16 TFLOP/s of dense matrices, from the vendor's data sheets.
PEAKS = {"H100 80GB HBM3": 989.4, "H100 PCIe": 756.0, "H200": 989.4, "A100": 312.0}


class Genes:
    """All that the model asks of a vocabulary here: its size."""

    totals: Mapping[str, object] = MappingProxyType({})

    def __len__(self) -> int:
        return N_GENES


@dataclass(frozen=True)
class Speed:
    """What was measured."""

    cells: float  # a second
    tokens: float  # genes a second, of both modalities
    tflops: float  # a second
    memory_gb: float  # the most that tensors took of a GPU
    first_s: float  # the first step, with compiling


class Trainer:
    """A model that pretrains on one device."""

    def __init__(self, model: ModelConfig, device: torch.device, *, bfloat16: bool, compiled: bool) -> None:
        torch.manual_seed(0)
        self.model, self.device, self.compiled = model, device, compiled
        config = PretrainConfig(compile=compiled)
        self.module = Pretraining(model, config, Genes()).to(device).train()  # type: ignore[arg-type]
        if compiled:
            self.module.encoder.compile(dynamic=True)
        self._gradients = Gradients(self.module, seed=0, world=World(device=device), bfloat16=bfloat16)
        self._optimizer = make_optimizer(self.module, Schedule.of(config))
        self._done = 0

    def step(self, chunks: Chunks) -> None:
        """One step, done when this returns."""
        self._optimizer.zero_grad()
        self._gradients(chunks.to(self.device), self._done)
        nn.utils.clip_grad_norm_(self.module.parameters(), 1.0)
        self._optimizer.step()
        self._done += 1
        wait(self.device)

    def measure(self, stream: Iterator[Chunks], seconds: float) -> Speed:
        """Train for at least `seconds`, after three steps that do not count."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self.device)
        start = time.perf_counter()
        self.step(next(stream))
        first_s = time.perf_counter() - start
        for chunks in islice(stream, 2):
            self.step(chunks)
        cells, tokens, flop, start = 0, 0, 0.0, time.perf_counter()
        while not cells or time.perf_counter() - start < seconds:
            chunks = next(stream)
            self.step(chunks)
            cells += len(chunks)
            for part in chunks.parts:
                genes = {name: layer.offsets.diff().tolist() for name, layer in part.layers.items()}
                tokens += sum(map(sum, genes.values()))
                of_cells = (dict(zip(genes, of_cell, strict=True)) for of_cell in zip(*genes.values(), strict=True))
                flop += sum(flops_per_cell(self.model, of_cell, backward=True) for of_cell in of_cells)
        wall = time.perf_counter() - start
        memory = torch.cuda.max_memory_allocated(self.device) / 2**30 if on_gpu else math.nan
        return Speed(cells / wall, tokens / wall, flop / wall / 1e12, memory, first_s)


def cells_of(corpus: Corpus, model: ModelConfig, n_cells: int) -> Iterator[Chunks]:
    """Batches of a corpus, as the engine draws them where studies are mixed."""
    return GlobalBatches(
        corpus,
        "train",
        of_one_study=False,
        batch_cells=n_cells,
        chunk_cells=n_cells,
        seed=0,
        world=World(),
        modalities=model.modalities,
        max_genes=model.max_genes,
        truncation=model.truncation,
    )


def random_cells(model: ModelConfig, genes: str, n_cells: int) -> Iterator[Chunks]:
    """The same four batches again and again; `genes` of each modality a cell, or as many as `real` cells have."""
    rng = torch.Generator().manual_seed(0)
    return cycle([Chunks([_random_batch(model, genes, n_cells, rng)], [0], 1) for _ in range(4)])


def _random_batch(model: ModelConfig, genes: str, n_cells: int, rng: torch.Generator) -> CellBatch:
    layers = {}
    for modality, median in zip(model.modalities, REAL_GENES, strict=True):
        n_genes = torch.full((n_cells,), median if genes == "real" else int(genes))
        if genes == "real":
            spread = torch.randn(n_cells, generator=rng) * REAL_SPREAD
            n_genes = (n_genes * spread.exp()).long().clamp(1, model.max_genes)
        genes_T = torch.cat([torch.randperm(N_GENES, generator=rng)[:n].sort().values for n in n_genes.tolist()])
        counts_T = torch.empty(len(genes_T)).exponential_(0.5, generator=rng).ceil()
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), n_genes.cumsum(0)])
        totals_B = torch.stack([counts.sum() for counts in counts_T.split(n_genes.tolist())])
        layers[modality] = LayerTokens(genes_T.int(), counts_T, offsets, totals_B)
    return CellBatch(layers, torch.arange(n_cells))


def wait(device: torch.device) -> None:
    """Until the device has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_tflops(device: torch.device) -> float:
    """By the data sheet, or else what a large product of matrices reaches here (CUDA: bfloat16, CPU: float32)."""
    on_gpu = device.type == "cuda"
    for known, peak in PEAKS.items():
        if on_gpu and known in torch.cuda.get_device_name(device):
            return peak
    n, dtype = (8192, torch.bfloat16) if on_gpu else (2048, torch.float32)
    a, b = torch.randn(2, n, n).to(device, dtype)
    best = math.inf
    for _ in range(5):
        wait(device)
        start = time.perf_counter()
        a @ b
        wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best / 1e12


HEAD = (
    "| model | genes | cells | from | attention | compiled | cells/s | tokens/s | TFLOP/s | MFU | GB | first, s |\n"
    "|---|--:|--:|---|---|---|--:|--:|--:|--:|--:|--:|"
)


def row(trainer: Trainer, genes: str, n_cells: int, source: str, speed: Speed, peak: float) -> str:
    """A row of the table."""
    length = genes if genes == "real" else f"2 × {genes}"
    return (
        f"| {trainer.model.name} | {length} | {n_cells} | {source} | {trainer.model.attention} | "
        f"{'yes' if trainer.compiled else 'no'} | {speed.cells:,.1f} | {speed.tokens:,.0f} | {speed.tflops:.3g} | "
        f"{speed.tflops / peak:.0%} | {speed.memory_gb:.1f} | {speed.first_s:.1f} |"
    )
