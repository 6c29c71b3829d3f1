"""Batches compared bit for bit."""

import torch


def assert_same_tokens(one, two):
    for name in ("genes_T", "counts_T", "offsets", "totals_B"):
        assert torch.equal(getattr(one, name), getattr(two, name))


def assert_same(one, two):
    assert torch.equal(one.rows_B, two.rows_B)
    assert one.layers.keys() == two.layers.keys()
    for layer in one.layers:
        assert_same_tokens(one.layers[layer], two.layers[layer])
