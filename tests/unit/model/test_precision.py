"""What a run may switch on: bf16, recomputed blocks, compiled blocks. The numbers stay."""

from dataclasses import replace

import pytest
import torch
from cells import batch, layer, model
from torch.nn import functional as F

from velocorpus import names
from velocorpus.model.plans import plan_of

S, U = names.SPLICED, names.UNSPLICED
# Outputs are of order one (a norm is last); bf16 has 8 bits, and two blocks with some ten roundings each.
BF16 = {"rtol": 0.0, "atol": 0.08}


def gradients(net, output):
    sum(((i + 1) * x.sin()).sum() for i, x in enumerate(output.pooled.values())).backward()
    return {name: p.grad for name, p in net.named_parameters() if p.grad is not None}


def test_outputs_under_bf16_autocast_are_near_those_in_float32():
    net, cells = model(d_model=64), batch([40, 0, 9], [3, 30, 1])
    with torch.no_grad():
        expected = net(cells)
        with torch.autocast("cpu", torch.bfloat16):
            short = net(cells)
    for name, pooled in expected.pooled.items():
        assert not torch.equal(short.pooled[name].float(), pooled), "autocast was not on"
        torch.testing.assert_close(short.pooled[name].float(), pooled, **BF16)
    torch.testing.assert_close(short.fusion_tokens_BFD.float(), expected.fusion_tokens_BFD, **BF16)


def test_gradients_under_bf16_autocast_point_where_those_in_float32_do():
    cells, found = batch([40, 0, 9], [3, 30, 1]), []
    for on in (False, True):
        net = model(d_model=64)
        with torch.autocast("cpu", torch.bfloat16, enabled=on):
            output = net(cells)
        found.append(torch.cat([g.flatten() for g in gradients(net, output).values()]))
    assert torch.cosine_similarity(*found, dim=0) > 0.995


def test_a_total_enters_exactly_under_autocast():
    """In bf16 totals of 1,000 and 1,004 would be one."""
    embedding, seen = model().embeddings[S], []
    embedding.value[0].register_forward_hook(lambda _, __, output: seen.append(output[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for total in (1000.0, 1004.0):
            embedding(replace(layer([1]), totals_B=torch.tensor([total])))
    assert seen[0].dtype == torch.float32
    assert not torch.equal(*seen)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_recomputed_blocks_give_the_same_bits(dropout):
    found = []
    for recompute in (False, True):
        net = model(checkpoint_blocks=recompute, dropout=dropout)
        torch.manual_seed(1)
        output = net(batch())
        found.append((output.pooled, gradients(net, output)))
    for plain, recomputed in zip(*found, strict=True):
        assert all(torch.equal(x, recomputed[name]) for name, x in plain.items())


def test_recomputed_blocks_keep_less():
    kept = []
    for recompute in (False, True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x, into=sizes: into.append(x.numel()) or x, lambda x: x):
            model(checkpoint_blocks=recompute)(batch())
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def masked(q_NHK, k_RHK, v_RHK, q_bounds, k_bounds, _q_longest, _k_longest):
    """`cells.run_by_run` without a look at numbers, which would break the graph."""
    q_run, k_run = (
        torch.bucketize(torch.arange(len(x)), bounds, right=True)
        for x, bounds in ((q_NHK, q_bounds), (k_RHK, k_bounds))
    )
    heads_first = (x.transpose(0, 1) for x in (q_NHK, k_RHK, v_RHK))
    return F.scaled_dot_product_attention(*heads_first, attn_mask=q_run[:, None] == k_run).transpose(0, 1)


# The compiler's front end only: what a back end makes of the graph is its own affair.
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile", "ignore:The .grad attribute")
@pytest.mark.parametrize("name", ["sdpa", "flash", "flex"])
def test_a_block_compiles_and_without_a_break_where_tokens_are_packed(name):
    (block,) = model(n_layers=1).requires_grad_(name != "flex").blocks
    offsets = {S: torch.tensor([0, 3, 5]), U: torch.tensor([0, 1, 2])}
    plan = plan_of(name, offsets, 2, 3, "cpu")
    plan = replace(plan, kernel=masked) if name == "flash" else plan
    rng = torch.Generator().manual_seed(0)
    tokens = {m: torch.randn(int(x[-1]), 16, generator=rng) for m, x in offsets.items()}
    streams = plan.place(tokens, torch.randn(2, 3, 16, generator=rng))
    compiled = torch.compile(block, backend="eager", fullgraph=name != "sdpa")
    for ours, expected in zip(compiled(streams, plan), block(streams, plan), strict=True):
        torch.testing.assert_close(ours, expected)


def test_compiling_the_encoder_compiles_its_blocks_and_leaves_the_plan_outside():
    net, compiled = model(), []
    for block in net.blocks:
        block.compile = lambda **how: compiled.append(how)
    net.compile(dynamic=True)
    assert compiled == [{"dynamic": True}] * 2
    assert net._compiled_call_impl is None
