import numpy as np
import pytest

from velocorpus.evaluation import probes
from velocorpus.evaluation.views import Baselines, Canonical, Components

RNG = np.random.default_rng(0)


def two_views(n: int, shared: float = 1.0) -> np.ndarray:
    """Counts' logs (N, G, 2) of two views that share a state of three dimensions by loadings of their own."""
    rng = np.random.default_rng(1)
    loadings = rng.standard_normal((3, 20, 2))
    state = RNG.standard_normal((n, 3)) * shared
    return np.einsum("ns,sgl->ngl", state, loadings) + 0.1 * RNG.standard_normal((n, 20, 2))


@pytest.mark.parametrize("shape", [(60, 8), (8, 60)], ids=["more cells than genes", "fewer"])
def test_components_are_those_of_the_singular_vectors(shape):
    x = RNG.standard_normal(shape) * np.arange(1, shape[1] + 1)
    found = Components.of(x, 3).project(x)
    expected = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found), np.abs(expected[0][:, :3] * expected[1][:3]), atol=1e-8)


def test_canonical_directions_find_a_view_that_components_of_one_layer_do_not():
    learned, held_out = two_views(500), two_views(100)
    rank = {
        name: np.mean([probes.retrieval(*(probes.directions(v) for v in pair))[1] for pair in pairs])
        for name, pairs in Baselines.of(learned, 6).views(held_out).items()
    }
    assert rank["PCA + CCA"] > 0.95
    assert rank["PCA + CCA of the study's other half, among a half"] > 0.95
    assert rank["PCA of spliced, both layers on it"] < 0.8


def test_views_that_share_nothing_are_not_found():
    learned, held_out = two_views(500, shared=0.0), two_views(200, shared=0.0)
    canonical = Canonical.of(learned[:, :, 0], learned[:, :, 1], 6)
    a, b = canonical.project(held_out[:, :, 0], held_out[:, :, 1])
    assert 0.4 < probes.retrieval(probes.directions(a), probes.directions(b))[1] < 0.6


def test_baselines_have_the_dimension_that_was_asked_for():
    outputs = Baselines.of(two_views(100), 6).outputs(two_views(30))
    assert {values.shape for values in outputs.values()} == {(30, 6)}
