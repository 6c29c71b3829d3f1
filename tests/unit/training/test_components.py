"""Gene embeddings start as the components in which the cells of a study vary."""

import torch

from velocorpus import names
from velocorpus.config import ModelConfig
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model.start import GENE_STD, start_genes
from velocorpus.model.zorro import Zorro
from velocorpus.training.components import agreement, centred, components_of
from velocorpus.training.validation import retrieval

S, U = names.SPLICED, names.UNSPLICED
BOTH = (S, U)
N_GENES = 60


def packed(rates: torch.Tensor, rng: torch.Generator) -> LayerTokens:
    counts = torch.poisson(rates, generator=rng)
    cells, genes = counts.nonzero(as_tuple=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), (counts > 0).sum(1).cumsum(0)])
    return LayerTokens(genes.int(), counts[cells, genes], offsets, counts.sum(1))


def study(seed: int, n_cells: int = 128) -> CellBatch:
    """Genes 0 to 19 rise with a cell's state, genes 20 to 39 fall, in both layers; the others are noise of counting."""
    rng = torch.Generator().manual_seed(seed)
    state = torch.randn(n_cells, 1, generator=rng)
    follows = torch.cat([torch.ones(20), -torch.ones(20), torch.zeros(20)])
    rates = 5 * (0.5 * state * follows).exp() * torch.rand(N_GENES, generator=rng).add(0.5)
    return CellBatch({S: packed(rates, rng), U: packed(rates / 2, rng)}, torch.arange(n_cells))


def cosine(genes_GD: torch.Tensor, a: slice, b: slice) -> float:
    a_D, b_D = genes_GD[a].mean(0), genes_GD[b].mean(0)
    return float(torch.cosine_similarity(a_D, b_D, dim=0))


def test_genes_that_vary_together_start_side_by_side_and_those_that_oppose_them_opposite():
    genes_GD = components_of([study(i) for i in range(8)], BOTH, N_GENES, 1, seed=0)
    assert genes_GD.shape == (N_GENES, 1)
    assert cosine(genes_GD, slice(0, 10), slice(10, 20)) > 0.9
    assert cosine(genes_GD, slice(0, 20), slice(20, 40)) < -0.9
    assert 0.8 * GENE_STD < float(genes_GD.std()) < 1.2 * GENE_STD


def test_a_gene_counts_by_how_far_its_layers_agree():
    weight_G = agreement([study(i) for i in range(8)], BOTH, N_GENES)
    assert float(weight_G[:40].min()) > 2 * float(weight_G[40:].mean())


def test_the_same_seed_gives_the_same_embeddings_and_another_one_others():
    batches = [study(0)]
    a, b, c = (components_of(batches, BOTH, N_GENES, 8, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_more_dimensions_than_genes_one_modality_and_no_cells_give_finite_embeddings_of_which_no_two_are_alike():
    batch = study(0, 3)
    only = CellBatch({S: batch.layers[S]}, batch.rows_B)
    for batches, modalities in (([batch], BOTH), ([only], (S,)), ([only], BOTH), ([], BOTH)):
        genes_GD = components_of(batches, modalities, N_GENES, 70, seed=0)
        assert genes_GD.isfinite().all()
        assert len(genes_GD.unique(dim=0)) == N_GENES


def test_cells_without_counts_are_no_part_of_the_mean():
    batch = study(0, 8)
    layer = batch.layers[S]
    n = int(layer.offsets[6])
    offsets = torch.cat([layer.offsets[:7], layer.offsets[6:7].repeat(2)])
    totals_B = torch.cat([layer.totals_B[:6], torch.zeros(2)])
    cut = CellBatch({S: LayerTokens(layer.genes_T[:n], layer.counts_T[:n], offsets, totals_B)}, batch.rows_B)
    x_BG = next(centred([cut], (S,), N_GENES))[S]
    assert torch.allclose(x_BG[:6].mean(0), torch.zeros(N_GENES), atol=1e-5)
    assert float(x_BG[6:].abs().max()) == 0.0


def test_before_the_first_step_the_views_of_a_cell_of_another_study_find_each_other():
    torch.manual_seed(0)
    net = Zorro(ModelConfig(d_model=16, n_heads=2), N_GENES)
    start_genes(net, components_of([study(i) for i in range(8)], BOTH, N_GENES, 16, seed=0))
    with torch.no_grad():
        pooled = net.eval()(study(100)).pooled
    views = [torch.nn.functional.normalize(pooled[m] - pooled[m].mean(0), dim=1) for m in BOTH]
    assert retrieval(*views)[1] > 0.7  # one number tells the cells apart here; 0.5 is chance
