"""Random cells for the model's tests: sane defaults, so that each test states only what matters."""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from velocorpus import names
from velocorpus.config import ModelConfig
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model.zorro import Zorro

N_GENES = 50


def layer(lengths: Sequence[int], seed: int = 0, n_genes: int = N_GENES) -> LayerTokens:
    rng = torch.Generator().manual_seed(seed)
    genes = [torch.randperm(n_genes, generator=rng)[:n].sort().values for n in lengths]
    counts = [torch.randint(1, 9, (n,), generator=rng).float() for n in lengths]
    return LayerTokens(
        torch.cat(genes),
        torch.cat(counts),
        torch.tensor([0, *lengths]).cumsum(0),
        torch.stack([c.sum() for c in counts]),
    )


def batch(spliced: Sequence[int] = (5, 0, 9, 1, 7), unspliced: Sequence[int] = (3, 4, 0, 1, 20)) -> CellBatch:
    layers = {names.SPLICED: layer(spliced, 1), names.UNSPLICED: layer(unspliced, 2)}
    return CellBatch(layers, torch.arange(len(spliced)))


def model(seed: int = 0, n_genes: int = N_GENES, **config: object) -> Zorro:
    torch.manual_seed(seed)
    defaults: dict[str, object] = {"d_model": 16, "n_layers": 2, "n_heads": 2, "n_fusion": 3}
    return Zorro(ModelConfig.model_validate({**defaults, **config}), n_genes)


def run_by_run(
    q_NHK: torch.Tensor,
    k_RHK: torch.Tensor,
    v_RHK: torch.Tensor,
    q_bounds: torch.Tensor,
    k_bounds: torch.Tensor,
    q_longest: int,
    k_longest: int,
) -> torch.Tensor:
    """What the kernels for variable lengths compute, one run after another."""
    assert int(q_bounds.diff().max()) == q_longest
    assert int(k_bounds.diff().max()) == k_longest
    found = []
    for run in range(len(q_bounds) - 1):
        q = q_NHK[int(q_bounds[run]) : int(q_bounds[run + 1])]
        k, v = (x[int(k_bounds[run]) : int(k_bounds[run + 1])] for x in (k_RHK, v_RHK))
        found.append(F.scaled_dot_product_attention(*(x.transpose(0, 1) for x in (q, k, v))).transpose(0, 1))
    return torch.cat(found)
