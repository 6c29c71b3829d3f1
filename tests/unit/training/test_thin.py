"""Thinned layers are cells of less depth, each layer on its own."""

import torch

from velocorpus import names
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.training.thin import thin

S, U = names.SPLICED, names.UNSPLICED


def cells(n_cells, count=20.0, cut=100.0):
    genes = torch.arange(10, dtype=torch.int32).repeat(n_cells)
    layer = LayerTokens(
        genes,
        torch.full((10 * n_cells,), count),
        torch.arange(n_cells + 1) * 10,
        torch.full((n_cells,), 10 * count + cut),
    )
    return CellBatch({S: layer, U: layer}, torch.arange(n_cells))


def thinned(batch, least=0.1, seed=0, modalities=(S, U)):
    return thin(batch, modalities, least, torch.Generator().manual_seed(seed))


def test_shares_are_log_uniform_and_those_of_the_layers_unrelated():
    batch = thinned(cells(4000))
    shares = torch.stack([batch.layers[m].totals_B for m in (S, U)]) / 300
    assert abs(float(shares.log10().mean()) + 0.5) < 0.03
    assert abs(float(torch.corrcoef(shares)[0, 1])) < 0.05


def test_totals_are_the_shown_counts_where_nothing_was_cut():
    layer = thinned(cells(5, cut=0.0)).layers[S]
    sums = [float(part.sum()) for part in layer.counts_T.split(layer.offsets.diff().tolist())]
    assert layer.totals_B.tolist() == sums


def test_genes_without_a_count_left_leave_their_cell_in_order():
    layer = thinned(cells(50, count=1.0), least=0.01).layers[S]
    assert 0 < len(layer.genes_T) < 500
    assert (layer.counts_T > 0).all()
    assert all((part.diff() > 0).all() for part in layer.genes_T.split(layer.offsets.diff().tolist()))


def test_other_layers_stay_and_the_seed_decides():
    batch = cells(20)
    one, same, other = thinned(batch, modalities=(S,)), thinned(batch, modalities=(S,)), thinned(batch, seed=1)
    assert one.layers[U] is batch.layers[U]
    assert torch.equal(one.layers[S].counts_T, same.layers[S].counts_T)
    assert not torch.equal(one.layers[S].totals_B, other.layers[S].totals_B)
