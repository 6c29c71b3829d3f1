"""Weights and operations of the named models, as docs/model.md shows them: `python benchmarks/model_sizes.py`."""

from pathlib import Path

import yaml

from velocorpus.config import TrainingConfig, parse
from velocorpus.model.flops import count_weights, flops_per_cell

GENES = 36_601  # of 10x's GRCh38-2020-A
LENGTHS = (512, 1024, 2048)  # expressed genes of a cell in each modality


def main() -> None:
    """One row a model."""
    lengths = [f"2 × {n:,}" for n in LENGTHS]
    print("| | D × blocks | heads | MLP | without tables | tables | GFLOP a cell, forward:", " | ".join(lengths), "|")
    print("|---|" + "--:|" * (5 + len(LENGTHS)))
    for path in (Path("config/models") / f"{name}.yaml" for name in ("tiny", "small", "base")):
        config = parse(TrainingConfig, yaml.safe_load(path.read_text(encoding="utf-8")), str(path)).model
        rest, tables = count_weights(config, GENES)
        costs = [f"{flops_per_cell(config, dict.fromkeys(config.modalities, n)) / 1e9:,.1f}" for n in LENGTHS]
        sizes = [f"{config.d_model} × {config.n_layers}", str(config.n_heads), f"× {config.mlp_ratio:g}"]
        print("|", " | ".join([path.stem, *sizes, f"{rest / 1e6:.2f}M", f"{tables / 1e6:.1f}M", *costs]), "|")


if __name__ == "__main__":
    main()
