"""Zorro's attention, split by what the masks allow, against the whole attention under the dense mask.

    python benchmarks/attention.py --d-model 768 [--counts cells.h5ad] [--device cuda]

The peers are how Zorro is usually written: each modality padded to its longest cell, all tokens of a cell in one
sequence with the fusion tokens, and a boolean mask over all pairs; once through SDPA, once through einsum and
masked_fill. All get the same weights and tokens; outputs and gradients are checked equal before anything is timed.
`attention` is what happens between projected queries, keys, values and the attended values, `block` a whole block of
the model with projections and MLP. Forward and backward. Seconds are the least of the turns: of CPU on a CPU (give
OMP_NUM_THREADS=1; others on the machine then disturb little), synchronised on CUDA, in bf16 there.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F

from velocorpus import names
from velocorpus.model.masks import attend_blocks, streams_of
from velocorpus.model.plans import choose, plan_of
from velocorpus.model.zorro import Block

FUSION = 6
HEAD = 64
MODALITIES = (names.SPLICED, names.UNSPLICED)
CUT = 2048  # tokens of a modality of a real cell at most, as in config/models

Lengths = list[tuple[int, int]]  # of each cell: tokens in each modality


class Dense:
    """One sequence a cell; `kernel` is SDPA or einsum."""

    def __init__(self, lengths: Lengths, kernel: Callable[..., torch.Tensor], device: str) -> None:
        self.longest = [max(n) for n in zip(*lengths, strict=True)]
        streams_S = streams_of(self.longest, FUSION)
        is_token_BS = torch.stack(
            [
                torch.cat([torch.arange(most) < n for most, n in zip(self.longest, cell, strict=True)])
                for cell in lengths
            ]
        )
        self.is_token_BS = torch.cat([is_token_BS, torch.ones(len(lengths), FUSION, dtype=torch.bool)], 1).to(device)
        # Padding attends to itself, so that no row is without a key.
        itself = torch.eye(len(streams_S), dtype=torch.bool, device=device)
        allowed = attend_blocks(streams_S).to(device) & self.is_token_BS[:, None, :]
        self.mask_B1SS = (allowed | itself)[:, None]
        self.kernel = kernel

    def place(self, tokens: dict[str, torch.Tensor], fusion_BFD: torch.Tensor) -> list[torch.Tensor]:
        """As `velocorpus.model.plans.Plan.place`."""
        x_BSD = fusion_BFD.new_zeros(*self.is_token_BS.shape, fusion_BFD.shape[-1])
        for part, where_BL, into in zip(
            [*tokens.values(), fusion_BFD.flatten(0, 1)],
            self.is_token_BS.split([*self.longest, FUSION], 1),
            x_BSD.split([*self.longest, FUSION], 1),
            strict=True,
        ):
            into[where_BL] = part
        return [x_BSD.flatten(0, 1)]

    def take(self, streams: list[torch.Tensor]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """As `velocorpus.model.plans.Plan.take`."""
        x_BSD = streams[0].unflatten(0, self.is_token_BS.shape)
        sizes = [*self.longest, FUSION]
        *own, fusion = (x[at] for x, at in zip(x_BSD.split(sizes, 1), self.is_token_BS.split(sizes, 1), strict=True))
        return dict(zip(MODALITIES, own, strict=True)), fusion.unflatten(0, (len(x_BSD), FUSION))

    def attend(self, qkv: list[tuple[torch.Tensor, ...]]) -> list[torch.Tensor]:
        """As `velocorpus.model.plans.Plan.attend`."""
        q, k, v = (x.unflatten(0, self.is_token_BS.shape) for x in qkv[0])
        return [self.kernel(q, k, v, self.mask_B1SS).flatten(0, 1)]


def sdpa(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, S, H, K) thrice to (B, S, H * K)."""
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=mask).transpose(1, 2).flatten(2)


def einsum(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The same, written out."""
    scores = torch.einsum("bqhk,bshk->bhqs", q, k) / q.shape[-1] ** 0.5
    weights = scores.masked_fill(~mask, float("-inf")).softmax(-1)
    return torch.einsum("bhqs,bshk->bqhk", weights, v).flatten(2)


def ours(lengths: Lengths, kernels: str, device: str) -> object:
    """The model's own plan, by name."""
    sizes = zip(MODALITIES, zip(*lengths, strict=True), strict=True)
    offsets = {m: torch.tensor([0, *n]).cumsum(0) for m, n in sizes}
    return plan_of(kernels, offsets, len(lengths), FUSION, device)


def cases(plan, block: Block, tokens: dict[str, torch.Tensor], fusion: torch.Tensor) -> dict[str, Callable]:
    """What is timed, by level: a function that goes forward and backward and gives outputs and gradients."""
    streams = [x.detach() for x in plan.place(tokens, fusion)]
    # Gradients of the outputs: none at padding, as in a model.
    rows = [torch.zeros_like(x, requires_grad=True) for x in streams]
    own, fused = plan.take(rows)
    weights = torch.autograd.grad([*own.values(), fused], rows, [x.cos() for x in (*tokens.values(), fusion)])
    with torch.no_grad():
        qkv = [torch.stack(block.project(x), 1) for x in streams]

    def run(inputs: list[torch.Tensor], forward: Callable) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        inputs = [x.requires_grad_() for x in inputs]
        outputs = forward(inputs)
        gradients = torch.autograd.grad(outputs, inputs, [w.to(x.dtype) for w, x in zip(weights, outputs, strict=True)])
        return list(outputs), list(gradients)

    return {
        "attention": partial(run, qkv, lambda parts: plan.attend([x.unbind(1) for x in parts])),
        "block": partial(run, streams, lambda parts: block(parts, plan)),
    }


def check(name: str, plan, result: tuple, expected: tuple, bound: float) -> None:
    """Refuse to time what does not compute the same."""
    for ours_, theirs in zip(result, expected, strict=True):
        own, fused = plan.take([x.detach().flatten(1) for x in ours_])
        for mine, other in zip([*own.values(), fused], theirs, strict=True):
            worst = float((mine.float() - other.float()).abs().max())
            assert worst <= bound * max(1.0, float(other.abs().max())), f"{name} differs by {worst}"


def seconds(run: Callable, device: str) -> float:
    """Of one call."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    started = clock()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - started


def real_lengths(path: str, cells: int) -> Lengths:
    """Expressed genes of the first cells of a counts.h5ad in each modality, cut, and the total's token."""
    import anndata

    adata = anndata.read_h5ad(path)[:cells]
    each = [np.asarray((adata.layers[m] > 0).sum(1)).ravel() for m in MODALITIES]
    return [tuple(min(int(n), CUT) + 1 for n in cell) for cell in zip(*each, strict=True)]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--d-model", type=int, default=512)
    parser.add_argument("--lengths", type=int, nargs="*", default=[512, 1024, 2048], help="tokens of each modality")
    parser.add_argument("--cells", type=int, default=1, help="in a batch of equal lengths")
    parser.add_argument("--counts", help="a counts.h5ad, for the lengths of real cells")
    parser.add_argument("--real-cells", type=int, default=8)
    parser.add_argument("--what", nargs="*", default=["attention", "block"])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kernels", nargs="*", default=["auto"], help="of ours: auto, sdpa, flash, flex")
    given = parser.parse_args()
    device, dtype = given.device, torch.float32 if given.device == "cpu" else torch.bfloat16
    batches = {f"2 × {n:,}": [(n, n)] * given.cells for n in given.lengths}
    if given.counts:
        batches["real cells"] = real_lengths(given.counts, given.real_cells)
    torch.manual_seed(0)
    block = Block(given.d_model, given.d_model // HEAD, 4.0, 0.0).to(device, dtype)
    print(f"torch {torch.__version__}, {device}, {dtype}, {torch.get_num_threads()} threads, d_model {given.d_model}")
    print("| tokens | cells | what | kernels | s | peer: SDPA, dense mask | × | peer: einsum, masked_fill | × |")
    print("|---|--:|---|---|--:|--:|--:|--:|--:|")
    for label, lengths in batches.items():
        rng = torch.Generator().manual_seed(1)
        totals = [sum(n) for n in zip(*lengths, strict=True)]
        sizes = zip(MODALITIES, totals, strict=True)
        tokens = {m: torch.randn(n, given.d_model, generator=rng).to(device, dtype) for m, n in sizes}
        fusion = torch.randn(len(lengths), FUSION, given.d_model, generator=rng).to(device, dtype)
        chosen = [choose(name, torch.device(device), dtype) for name in given.kernels]
        plans = {name: ours(lengths, name, device) for name in chosen}
        plans |= {"SDPA": Dense(lengths, sdpa, device), "einsum": Dense(lengths, einsum, device)}
        runs = {name: cases(plan, block, tokens, fusion) for name, plan in plans.items()}
        for what in given.what:
            reference = plans["einsum"]
            expected = []
            for part in runs["einsum"][what]():
                own, fused = reference.take([x.detach().flatten(1) for x in part])
                expected.append([*own.values(), fused])
            for name in plans:
                check(
                    f"{name}, {what}",
                    plans[name],
                    runs[name][what](),
                    tuple(expected),
                    1e-4 if dtype == torch.float32 else 5e-2,
                )
            least = dict.fromkeys(plans, float("inf"))
            for _ in range(given.turns):
                for name in plans:
                    least[name] = min(least[name], seconds(runs[name][what], device))
            for name in chosen:
                ratios = [f"{least[peer]:.4g} | **{least[peer] / least[name]:.2f}**" for peer in ("SDPA", "einsum")]
                print(
                    f"| {label} | {len(lengths)} | {what} | {name} | {least[name]:.4g} | {' | '.join(ratios)} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
