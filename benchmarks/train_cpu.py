"""Pretraining on a CPU: cells a second of `tiny`, so that a regression of the engine shows on any machine.

python benchmarks/train_cpu.py [--genes 64 128 real] [--corpus DIR] [--seconds 10] [--threads 1]
"""

import argparse
from pathlib import Path

import torch
import yaml

from train_gpu import MODELS
from train_speed import HEAD, Trainer, cells_of, peak_tflops, random_cells, row
from velocorpus.config import ModelConfig
from velocorpus.corpus import Corpus

CELLS = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--genes", nargs="+", default=["64", "128", "real"])
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cpu")
    peak = peak_tflops(device)
    print(f"{given.threads} threads, torch {torch.__version__}, MFU of {peak:.3g} TFLOP/s\n\n{HEAD}", flush=True)
    model = ModelConfig(**yaml.safe_load((MODELS / "tiny.yaml").read_text())["model"])
    trainer = Trainer(model, device, bfloat16=False, compiled=False)
    for genes in given.genes:
        speed = trainer.measure(random_cells(model, genes, CELLS), given.seconds)
        print(row(trainer, genes, CELLS, "memory", speed, peak), flush=True)
    if given.corpus:
        speed = trainer.measure(cells_of(Corpus(given.corpus), model, CELLS), given.seconds)
        print(row(trainer, "real", CELLS, "corpus", speed, peak), flush=True)


if __name__ == "__main__":
    main()
