"""Batches and a small objective for the tests of gradients: some cells lack a layer, as many as you like."""

import torch

from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.training.chunks import Chunks
from velocorpus.training.objective import Pretraining

N_GENES = 30


class Genes:
    """As much of a vocabulary as the objective asks for."""

    totals: dict[str, object] = {}  # noqa: RUF012

    def __len__(self) -> int:
        return N_GENES


def objective(*, dropout: float = 0.0, **weights: float) -> Pretraining:
    torch.manual_seed(0)
    model = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2, dropout=dropout, unknown_rate=0.1)
    net = Pretraining(model, PretrainConfig.model_validate({"mask_rate": 0.3, **weights}), Genes())
    # A reader of counts whose last layer is zero, as at the start, would hide what lies before it.
    torch.nn.init.normal_(net.masked.read[-1].weight, std=0.3)
    return net.train()


def cells(seed: int, n_cells: int, n_without_unspliced: int = 0) -> CellBatch:
    rng = torch.Generator().manual_seed(seed)
    layers = {}
    for layer in ("spliced", "unspliced"):
        sizes = torch.randint(3, 9, (n_cells,), generator=rng)
        if layer == "unspliced":
            sizes[:n_without_unspliced] = 0
        genes = [torch.randperm(N_GENES, generator=rng)[:n].sort().values for n in sizes.tolist()]
        counts = torch.randint(1, 9, (int(sizes.sum()),), generator=rng).float()
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
        totals = torch.stack([part.sum() for part in counts.split(sizes.tolist())])
        layers[layer] = LayerTokens(torch.cat(genes).int(), counts, offsets, totals)
    return CellBatch(layers, torch.arange(n_cells) + 1000 * seed)


def chunks(rank: int = 0, size: int = 1) -> Chunks:
    """A rank's part of a batch of four chunks of five cells; they lack 0, 1, 5 and 0 unspliced layers."""
    every = [cells(i, 5, lacking) for i, lacking in enumerate((0, 1, 5, 0))]
    return Chunks(every[rank::size], list(range(4))[rank::size], 4)


def joined(parts: list[CellBatch]) -> CellBatch:
    layers = {}
    for layer in parts[0].layers:
        of = [part.layers[layer] for part in parts]
        sizes = torch.cat([x.offsets.diff() for x in of])
        layers[layer] = LayerTokens(
            torch.cat([x.genes_T for x in of]),
            torch.cat([x.counts_T for x in of]),
            torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]),
            torch.cat([x.totals_B for x in of]),
        )
    return CellBatch(layers, torch.cat([part.rows_B for part in parts]))


def gradients_in(net: Pretraining) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
