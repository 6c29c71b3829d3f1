"""Layouts keep every token once and waste little; reads of streams join into one softmax."""

import pytest
import torch

from velocorpus.model.attention import SMALL, WASTE, join, plan_layout, read, read_dense, self_attention


def offsets_of(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0)


@pytest.mark.parametrize("seed", range(4))
def test_a_layout_gives_every_token_a_row_of_its_own_and_wastes_little(seed):
    rng = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 400, (100,), generator=rng).tolist()
    layout = plan_layout(offsets_of(lengths))
    assert len(layout.row_T.unique()) == sum(lengths)
    assert layout.row_T.max() < layout.n_rows
    assert layout.n_rows <= (1 + WASTE) * sum(lengths) + SMALL * max(lengths)


def test_long_cells_stand_alone_rather_than_beside_padding():
    buckets = plan_layout(offsets_of([600, 2000])).buckets
    assert [(b.n_cells, b.length, b.attend_N11L) for b in buckets] == [(1, 600, None), (1, 2000, None)]


def test_cells_of_one_length_need_no_mask():
    (bucket,) = plan_layout(offsets_of([7, 7, 7])).buckets
    assert bucket.attend_N11L is None


def test_a_layout_does_not_depend_on_empty_cells():
    full, gaps = plan_layout(offsets_of([3, 5])), plan_layout(offsets_of([0, 3, 0, 5]))
    assert gaps.n_rows == full.n_rows
    assert gaps.slot_B.tolist() == [2, 0, 2, 1]


def test_self_attention_equals_attention_of_each_cell_alone():
    lengths = [3, 1, 6, 6, 2]
    offsets = offsets_of(lengths)
    layout = plan_layout(offsets)
    q, k, v = torch.randn(3, layout.n_rows, 2, 4, generator=torch.Generator().manual_seed(0))
    out = self_attention(layout.split(q), layout.split(k), layout.split(v), layout)[layout.row_T]
    for b, n in enumerate(lengths):
        rows = layout.row_T[offsets[b] : offsets[b + 1]]
        alone, _ = read_dense(*(x[rows].transpose(0, 1)[None] for x in (q, k, v)))
        torch.testing.assert_close(out[offsets[b] : offsets[b + 1]], alone[0].transpose(0, 1).reshape(n, 8))


def test_reads_of_two_streams_join_into_one_softmax():
    q, k, v = torch.randn(3, 2, 1, 7, 4, generator=torch.Generator().manual_seed(1))
    whole, _ = read_dense(q, k, v)
    parts = [read_dense(q, k[:, :, part], v[:, :, part]) for part in (slice(0, 3), slice(3, 7))]
    torch.testing.assert_close(join(parts), whole)


def test_a_cell_without_tokens_reads_zeros_and_has_finite_gradients():
    layout = plan_layout(offsets_of([2, 0]))
    q = torch.randn(2, 1, 1, 4, requires_grad=True)
    k = torch.randn(layout.n_rows, 1, 4, requires_grad=True)
    out = join([read(q, layout.split(k), layout.split(k), layout)])
    assert (out[1] == 0).all()
    out.square().sum().backward()
    assert k.grad.isfinite().all()
    assert q.grad.isfinite().all()
