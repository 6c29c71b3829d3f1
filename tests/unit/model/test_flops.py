"""Operations by formula against those that torch counts, where no cell is padded."""

import pytest
import torch
from cells import batch, layer, model
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from velocorpus import names
from velocorpus.data.batch import CellBatch
from velocorpus.model.flops import count_weights, flops_per_cell, flops_per_token

S, U = names.SPLICED, names.UNSPLICED


def counted(net, cells, *, backward):
    # The plain kernel: flash kernels multiply the scores once more in the backward pass.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        output = net(cells)
        if backward:
            sum(
                x.sum() for x in (*output.pooled.values(), *output.tokens.values(), output.fusion_tokens_BFD)
            ).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("genes", [{S: 11, U: 7}, {S: 0, U: 20}])
@pytest.mark.parametrize("config", [{}, {"d_model": 32, "n_layers": 3, "n_heads": 4, "mlp_ratio": 2.5, "n_fusion": 6}])
def test_the_forward_operations_are_those_that_torch_counts(genes, config):
    net = model(**config)
    cells = batch([genes[S]] * 3, [genes[U]] * 3)
    assert counted(net, cells, backward=False) == 3 * flops_per_cell(net.config, genes)


def test_a_missing_modality_costs_only_its_empty_output():
    net = model()
    cells = CellBatch({S: layer([9, 9])}, torch.arange(2))
    assert counted(net, cells, backward=False) == 2 * flops_per_cell(net.config, {S: 9})


def test_a_training_step_takes_three_times_the_forward_pass():
    """But for the gradients of counts and of queries that torch need not multiply out."""
    net, genes = model(d_model=64), {S: 40, U: 30}
    cells = batch([40] * 3, [30] * 3)
    expected = 3 * flops_per_cell(net.config, genes, backward=True)
    assert counted(net, cells, backward=True) == pytest.approx(expected, rel=0.01)
    assert flops_per_token(net.config, genes, backward=True) == expected / 3 / 70


def test_weights_are_those_of_the_model():
    net = model(n_genes=50)
    without_tables, tables = count_weights(net.config, 50)
    assert tables == 2 * 52 * 16
    assert without_tables + tables == sum(p.numel() for p in net.parameters())
