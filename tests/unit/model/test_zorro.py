"""Zorro against its dense twin, its leaks (none), and what must change nothing."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from cells import N_GENES, batch, layer, model, run_by_run

from velocorpus import names
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model import zorro
from velocorpus.model.dense import dense_forward
from velocorpus.model.packed import FlashPlan, Packed, Varlen
from velocorpus.model.zorro import Zorro, ZorroOutput

Forward = Callable[[Zorro, CellBatch], ZorroOutput]

S, U = names.SPLICED, names.UNSPLICED
# Float32 on both sides, sums in another order.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def ragged(seed: int) -> CellBatch:
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 30, (2, 12), generator=rng)
    lengths[torch.rand(lengths.shape, generator=rng) < 0.2] = 0
    return batch(*lengths.tolist())


def without(cells: CellBatch, modality: str) -> CellBatch:
    return replace(cells, layers={m: x for m, x in cells.layers.items() if m != modality})


def scalar(output: ZorroOutput) -> torch.Tensor:
    """A number that depends on every output."""
    parts = [*output.pooled.values(), *output.tokens.values(), output.fusion_tokens_BFD]
    return sum(((i + 1) * part.sin()).sum() for i, part in enumerate(parts))


SHAPES = {
    "ragged0": ragged(0),
    "ragged1": ragged(1),
    "no spliced": without(ragged(3), S),
    "no unspliced": without(ragged(4), U),
    "no modality": without(without(batch(), S), U),
    "empty cells": batch([0, 0], [0, 0]),
    "one token": batch([0, 1, 0], [1, 0, 30]),
}


def split(net: Zorro, cells: CellBatch) -> ZorroOutput:
    return net(cells)


def packed(net: Zorro, cells: CellBatch, kernel: Varlen = run_by_run) -> ZorroOutput:
    """The plan of the flash kernels, with a kernel that runs anywhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            FlashPlan, "of", classmethod(lambda cls, *args: replace(Packed.of.__func__(cls, *args), kernel=kernel))
        )
        patch.setattr(zorro, "choose", lambda *_: "flash")
        return net(cells)


def assert_equal_forward_and_in_gradients(forwards: Sequence[Forward], cells: CellBatch, **config: object) -> None:
    """Each against the last."""
    outputs, gradients = [], []
    for forward in forwards:
        net = model(**config)
        output = forward(net, cells)
        scalar(output).backward()
        outputs.append(output)
        gradients.append({n: p.grad for n, p in net.named_parameters() if p.grad is not None})
    for output, gradient in zip(outputs[:-1], gradients[:-1], strict=True):
        assert_close(output, outputs[-1])
        for name, expected in gradients[-1].items():
            given = gradient.get(name, torch.zeros_like(expected))
            largest = max(float(expected.abs().max()), 1)
            torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4 * largest)


def assert_close(output: ZorroOutput, expected: ZorroOutput) -> None:
    for name, pooled in expected.pooled.items():
        torch.testing.assert_close(output.pooled[name], pooled, **CLOSE)
    torch.testing.assert_close(output.fusion_tokens_BFD, expected.fusion_tokens_BFD, **CLOSE)
    for m in (S, U):
        torch.testing.assert_close(output.tokens[m], expected.tokens[m], **CLOSE)
        assert torch.equal(output.offsets[m], expected.offsets[m])
        assert torch.equal(output.present[m], expected.present[m])


@pytest.mark.parametrize("cells", SHAPES.values(), ids=SHAPES)
def test_all_plans_equal_the_dense_twin_forward_and_in_gradients(cells):
    assert_equal_forward_and_in_gradients((split, packed, dense_forward), cells)


def test_a_cell_of_six_thousand_genes_equals_the_dense_twin_forward_and_in_gradients():
    cells = CellBatch({S: layer([6000, 2], 1, 6000), U: layer([70, 0], 2, 6000)}, torch.arange(2))
    size = {"n_genes": 6000, "d_model": 8, "n_layers": 1, "n_heads": 1}
    assert_equal_forward_and_in_gradients((split, dense_forward), cells, **size)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("shape", ["ragged0", "one token"])
def test_flex_attention_equals_the_dense_twin_forward(shape):
    cells = SHAPES[shape]
    with torch.no_grad():
        assert_close(model(attention="flex").requires_grad_(False)(cells), dense_forward(model(), cells))


def changed(cells: CellBatch, modality: str, how: str) -> CellBatch:
    old = cells.layers[modality]
    lengths = old.offsets.diff().tolist()
    if how == "drop":
        return without(cells, modality)
    if how == "values":
        new = replace(old, counts_T=old.counts_T * 3 + 1, totals_B=old.totals_B * 5)
    elif how == "genes":
        new = replace(old, genes_T=(old.genes_T + 7) % N_GENES)
    elif how == "permute":
        order = torch.cat([torch.randperm(n) + s for n, s in zip(lengths, old.offsets.tolist(), strict=False)])
        new = replace(old, genes_T=old.genes_T[order], counts_T=old.counts_T[order])
    else:
        new = layer([(n * 3 + 2) % 40 for n in lengths], seed=9)
    return replace(cells, layers={**cells.layers, modality: new})


@pytest.mark.parametrize("how", ["values", "genes", "permute", "lengths", "drop"])
@pytest.mark.parametrize(("victim", "kept"), [(S, U), (U, S)])
def test_no_bit_of_one_modality_depends_on_the_other(victim, kept, how):
    net = model().eval()
    with torch.no_grad():
        before, after = net(batch()), net(changed(batch(), victim, how))
    assert torch.equal(before.tokens[kept], after.tokens[kept])
    assert torch.equal(before.pooled[kept], after.pooled[kept])
    if how != "permute":
        assert not torch.equal(before.pooled[names.FUSION], after.pooled[names.FUSION])
        assert not torch.equal(before.pooled[names.GLOBAL], after.pooled[names.GLOBAL])


@pytest.mark.parametrize("how", ["values", "genes", "permute", "lengths", "drop"])
def test_packed_one_modality_depends_on_the_other_by_its_place_in_the_stream_at_most(how):
    net = model().eval()
    with torch.no_grad():
        before, after = packed(net, batch()), packed(net, changed(batch(), S, how))
    # Products of matrices with more or fewer rows may round a row otherwise.
    bounds = CLOSE if how in ("lengths", "drop") else {"rtol": 0.0, "atol": 0.0}
    torch.testing.assert_close(after.tokens[U], before.tokens[U], **bounds)
    torch.testing.assert_close(after.pooled[U], before.pooled[U], **bounds)


@pytest.mark.parametrize("forward", [split, packed])
@pytest.mark.parametrize(("output", "source"), [(S, U), (U, S)])
def test_the_gradient_from_one_modality_to_the_other_is_exactly_zero(output, source, forward):
    net, cells = model(), batch()
    inputs = [cells.layers[source].counts_T.requires_grad_(), cells.layers[source].totals_B.requires_grad_()]
    out = forward(net, cells)
    for value in (out.tokens[output], out.pooled[output]):
        gradients = torch.autograd.grad(
            value.sin().sum(), [*inputs, *net.embeddings[source].parameters()], retain_graph=True, allow_unused=True
        )
        assert all(g is None or (g == 0).all() for g in gradients)
    gradients = torch.autograd.grad(out.pooled[names.FUSION].sin().sum(), inputs)
    assert all((g != 0).any() for g in gradients)


def test_nothing_attends_to_fusion_but_fusion():
    net, cells = model().eval(), batch()
    with torch.no_grad():
        before = net(cells)
        net.fusion_FD.add_(1)
        after = net(cells)
    for m in (S, U):
        assert torch.equal(before.tokens[m], after.tokens[m])
        assert torch.equal(before.pooled[m], after.pooled[m])
    assert not torch.equal(before.pooled[names.FUSION], after.pooled[names.FUSION])


@pytest.mark.parametrize("forward", [split, packed])
def test_the_order_of_a_cells_genes_changes_nothing_beyond_rounding(forward):
    net = model().eval()
    with torch.no_grad():
        before, after = forward(net, batch()), forward(net, changed(batch(), S, "permute"))
    for name, pooled in before.pooled.items():
        torch.testing.assert_close(after.pooled[name], pooled, **CLOSE)


def test_a_cell_has_the_same_output_in_any_batch():
    net = model().eval()
    whole = ragged(5)
    alone = CellBatch({m: one_cell(x, 3) for m, x in whole.layers.items()}, torch.tensor([3]))
    with torch.no_grad():
        together, by_itself = net(whole), net(alone)
    for name, pooled in by_itself.pooled.items():
        torch.testing.assert_close(together.pooled[name][3:4], pooled, **CLOSE)


def one_cell(x: LayerTokens, b: int) -> LayerTokens:
    start, end = x.offsets[b], x.offsets[b + 1]
    return LayerTokens(
        x.genes_T[start:end], x.counts_T[start:end], torch.tensor([0, int(end - start)]), x.totals_B[b : b + 1]
    )


@pytest.mark.parametrize("forward", [split, lambda *given: packed(*given, kernel=lambda q, *_: torch.empty_like(q))])
def test_a_forward_pass_waits_for_no_device(forward, monkeypatch):
    """Tensors on the meta device have no numbers: whoever reads one fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)
    output = forward(model().to("meta"), batch().to("meta"))
    assert output.pooled[names.GLOBAL].shape == (5, 16)


def test_the_total_token_heads_each_cells_tokens():
    out = model()(batch([5, 0], [1, 2]))
    assert out.offsets[S].tolist() == [0, 6, 7]
    assert out.tokens[S].shape == (7, 16)
    assert out.present[S].tolist() == [True, False]


def test_empty_and_missing_modalities_give_finite_outputs_and_gradients():
    for cells in (batch([0, 3], [0, 0]), without(batch(), S), without(without(batch(), S), U)):
        net = model()
        out = net(cells)
        loss = scalar(out)
        assert loss.isfinite()
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


def test_an_unknown_gene_has_an_embedding_of_its_own():
    net, cells = model().eval(), batch([2], [2])
    unknown = replace(cells.layers[S], genes_T=torch.tensor([-1, 3]))
    with torch.no_grad():
        out = net(replace(cells, layers={**cells.layers, S: unknown}))
    assert out.pooled[S].isfinite().all()
    assert not torch.equal(out.pooled[S], net(cells).pooled[S])


def test_a_hidden_value_does_not_reach_the_output():
    net, cells = model().eval(), batch([3], [2])
    hidden = {S: torch.tensor([False, True, False])}
    other = cells.layers[S].counts_T * torch.tensor([1.0, 50.0, 1.0])
    with torch.no_grad():
        before = net(cells, hidden)
        after = net(replace(cells, layers={**cells.layers, S: replace(cells.layers[S], counts_T=other)}), hidden)
    assert torch.equal(before.pooled[names.GLOBAL], after.pooled[names.GLOBAL])


def test_more_modalities_than_two_work():
    cells = replace(batch(), layers={**batch().layers, names.AMBIGUOUS: layer([1, 2, 3, 0, 2], 4)})
    net = model(modalities=(S, U, names.AMBIGUOUS))
    for forward in (split, packed):
        assert_close(forward(net, cells), dense_forward(net, cells))


def test_heads_that_do_not_divide_the_dimension_are_refused():
    with pytest.raises(ValueError, match="d_model 16 is not a multiple of n_heads 3"):
        model(n_heads=3)


def test_base_has_85_million_weights_without_embeddings():
    with torch.device("meta"):
        net = Zorro(model(d_model=16).config.model_copy(update={"d_model": 768, "n_layers": 12}), 10)
    assert round(sum(p.numel() for p in net.blocks.parameters()) / 1e6) == 85
