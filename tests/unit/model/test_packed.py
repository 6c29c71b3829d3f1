"""The packed stream of the CUDA kernels: where tokens stand, and masks of runs, by hand and against all pairs."""

import pytest
import torch
from cells import run_by_run

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.model.masks import attend_blocks, attend_pooling, streams_of
from velocorpus.model.packed import BLOCK, FlashPlan, FlexPlan, mask_of_runs
from velocorpus.model.plans import choose, compute_dtype

S, U = names.SPLICED, names.UNSPLICED
# Two cells: two spliced tokens and one unspliced, one spliced and three unspliced; two fusion tokens each.
LENGTHS, N_FUSION = {S: (2, 1), U: (1, 3)}, 2


def plan(kind):
    offsets = {m: torch.tensor([0, *x]).cumsum(0) for m, x in LENGTHS.items()}
    return kind.of(offsets, 2, N_FUSION, "cpu")


def test_each_cells_modalities_and_fusion_tokens_stand_together():
    packed = plan(FlashPlan)
    tokens = {S: torch.tensor([[10.0], [11], [20]]), U: torch.tensor([[12.0], [21], [22], [23]])}
    fusion = torch.tensor([[[13.0], [14]], [[24], [25]]])
    (stream,) = packed.place(tokens, fusion)
    assert stream[:, 0].tolist() == [10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 25]
    assert packed.segments.tolist() == [0, 2, 3, 5, 6, 9, 11]
    assert packed.cells.tolist() == [0, 5, 11]
    assert (packed.longest_segment, packed.longest_cell) == (3, 6)
    back, fused = packed.take([stream])
    assert all(torch.equal(back[m], tokens[m]) for m in tokens)
    assert torch.equal(fused, fusion)


def pairs_of(mask):
    """Which pairs a block mask lets through, from its function and from its blocks; both must."""
    n_queries, n_keys = mask.seq_lengths
    query, key = torch.arange(n_queries)[:, None], torch.arange(n_keys)[None]
    by_function = mask.mask_mod(torch.tensor(0), torch.tensor(0), query, key)
    partial, whole = (
        blocks(numbers, indices).repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[:n_queries, :n_keys]
        for numbers, indices in (
            (mask.kv_num_blocks, mask.kv_indices),
            (mask.full_kv_num_blocks, mask.full_kv_indices),
        )
    )
    assert not (partial & whole).any()
    return (by_function & partial) | whole


def blocks(numbers, indices):
    table = torch.zeros(indices.shape[-2:], dtype=torch.bool)
    for row, (n, chosen) in enumerate(zip(numbers[0, 0].tolist(), indices[0, 0].tolist(), strict=True)):
        table[row, chosen[:n]] = True
    return table


def test_the_runs_of_flex_attention_are_zorros_masks():
    inside, pooling = plan(FlexPlan).masks
    cells = [streams_of([s, u], N_FUSION) for s, u in zip(*LENGTHS.values(), strict=True)]
    assert torch.equal(pairs_of(inside), torch.block_diag(*map(attend_blocks, cells)).bool())
    expected = torch.block_diag(*(attend_pooling(cell, 2) for cell in cells)).bool()
    assert torch.equal(pairs_of(pooling), expected)


@pytest.mark.parametrize("n_keys", [5 * BLOCK, 5 * BLOCK + 17])
def test_blocks_of_runs_let_through_exactly_the_runs(n_keys):
    rng = torch.Generator().manual_seed(n_keys)
    first = (torch.rand(400, generator=rng) * n_keys).int().sort().values
    last = torch.minimum(first + 1 + (torch.rand(400, generator=rng) * 600).int(), torch.tensor(n_keys))
    first[:256], last[:256] = 100, 600
    mask = mask_of_runs(first, last, n_keys)
    key = torch.arange(n_keys)
    assert torch.equal(pairs_of(mask), (key >= first[:, None]) & (key < last[:, None]))
    assert int(mask.full_kv_num_blocks.sum()) >= 2 * 3


def test_kernels_follow_device_and_number_format():
    cpu = torch.device("cpu")
    assert choose("auto", cpu, torch.bfloat16) == "sdpa"
    assert choose("flex", cpu, torch.float32) == "flex"
    with pytest.raises(UserMistake, match="flash needs CUDA and 16-bit numbers, not cpu"):
        choose("flash", cpu, torch.bfloat16)


def test_the_number_format_is_autocasts_when_it_is_on():
    weight = torch.zeros(1)
    assert compute_dtype(weight) == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert compute_dtype(weight) == torch.bfloat16


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the flash kernels need CUDA")
def test_flash_kernels_equal_attention_run_by_run_forward_and_in_gradients():
    from velocorpus.model.packed import flash

    rng = torch.Generator("cuda").manual_seed(0)
    lengths = torch.tensor([1, 6, 700, 33, 6, 129])
    bounds = torch.tensor([0, *lengths]).cumsum(0).int().cuda()
    longest = int(lengths.max())
    q, k, v = torch.randn(3, int(bounds[-1]), 2, 64, generator=rng, device="cuda", dtype=torch.bfloat16)
    results = []
    for kernel in (flash, run_by_run):
        inputs = [x.detach().clone().requires_grad_() for x in (q, k, v)]
        found = kernel(*inputs, bounds, bounds, longest, longest)
        found.float().square().sum().backward()
        results.append([found, *(x.grad for x in inputs)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=2e-2, atol=2e-2)
