"""Batches that move to a device."""

import torch

from velocorpus.data.batch import CellBatch, LayerTokens


def test_a_batch_that_moves_keeps_its_offsets_on_the_host():
    layer = LayerTokens(torch.zeros(3, dtype=torch.int32), torch.ones(3), torch.tensor([0, 2, 3]), torch.ones(2))
    moved = CellBatch({"spliced": layer}, torch.arange(2)).to("meta").layers["spliced"]
    assert moved.offsets.is_meta
    assert moved.bounds.tolist() == [0, 2, 3]
    assert moved.to("meta").bounds.tolist() == [0, 2, 3]
