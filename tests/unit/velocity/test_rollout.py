import numpy as np
import pytest
import torch

from velocorpus.config import ModelConfig
from velocorpus.corpus.reader import Cells
from velocorpus.data.context import StudyContext, study_context
from velocorpus.data.pairs import N_FEATURES
from velocorpus.model.trajectory import TrajectoryDecoder
from velocorpus.model.zorro import Zorro
from velocorpus.training.studies import LAYERS
from velocorpus.velocity.rollout import _schedule, cells_from, roll_out

G = 40


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    rng = np.random.default_rng(0)
    place = np.linspace(0, 1, 90)[:, None, None]
    return rng.poisson(1 + 8 * place * rng.random((1, G, 2))).astype(np.int32)


@pytest.fixture(scope="module")
def context(counts: np.ndarray) -> StudyContext:
    cells: Cells = cells_from(counts)
    return study_context(*(cells.layers[layer] for layer in LAYERS))


@pytest.fixture(scope="module")
def models() -> tuple[Zorro, TrajectoryDecoder]:
    torch.manual_seed(0)
    config = ModelConfig(d_model=16, n_layers=1, n_heads=2)
    decoder = TrajectoryDecoder(G, config.d_model, N_FEATURES, d_model=16, n_heads=2)
    torch.nn.init.normal_(decoder.head.weight, std=0.3)
    return Zorro(config, G), decoder


def states(models: tuple[Zorro, TrajectoryDecoder], context: StudyContext, start: np.ndarray, seed: int) -> np.ndarray:
    found = roll_out(*models, context, start, n_steps=3, step=0.1, seed=seed)
    return np.stack([state.counts_BG2 for state in found])


def test_same_seed_same_trajectories(models, context, counts):
    one, two, other = (states(models, context, counts[:5], seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_first_state_is_the_start_and_each_step_one_more(models, context, counts):
    found = states(models, context, counts[:5], 0)
    assert found.shape == (4, 5, G, 2)
    np.testing.assert_array_equal(found[0], counts[:5])


def test_generated_cells_keep_the_depth_of_their_start(models, context, counts):
    found = states(models, context, counts[40:60], 0)
    totals = found.sum((2, 3)).mean(1)
    np.testing.assert_allclose(totals[1:] / totals[0], 1.0, atol=0.35)


@pytest.mark.parametrize(("n", "rounds"), [(40, 4), (3, 4), (1, 4), (7, 1)])
def test_every_gene_is_decided_once(n, rounds):
    asked = [ask for ask, _ in _schedule(np.arange(n), rounds)]
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(n))


def test_few_genes_are_decided_first():
    sizes = [len(ask) for ask, _ in _schedule(np.arange(100), 4)]
    assert sizes == sorted(sizes)
