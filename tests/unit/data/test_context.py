import numpy as np
import pytest
from scipy import sparse

from velocorpus.corpus.reader import CSR
from velocorpus.data.context import CELL_FEATURES, STATISTICS, study_context


def layer(counts: np.ndarray) -> CSR:
    matrix = sparse.csr_matrix(counts)
    return CSR(
        matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.int32), counts.shape[1]
    )


def two_states(n: int = 60, g: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Half of the cells express the first genes ten times, the others the last ones."""
    rng = np.random.default_rng(0)
    mean = np.where((np.arange(n)[:, None] < n // 2) == (np.arange(g) < g // 2), 10.0, 1.0)
    return rng.poisson(mean), rng.poisson(mean / 3)


def test_a_cell_is_its_own_first_neighbour():
    context = study_context(*map(layer, two_states()))
    assert (context.neighbours_NK[:, 0] == np.arange(60)).all()


def test_neighbours_are_of_the_same_state():
    context = study_context(*map(layer, two_states()), n_neighbours=15)
    assert ((context.neighbours_NK < 30) == (np.arange(60) < 30)[:, None]).all()


def test_moments_are_means_of_counts_scaled_by_the_common_total():
    s, u = two_states()
    context = study_context(layer(s), layer(u), n_neighbours=7)
    totals = (s + u).sum(axis=1)
    size = np.median(totals) / totals
    around = context.neighbours_NK[3]
    ms, mu = context.moments(np.array([3]))
    np.testing.assert_allclose(ms[0], (s * size[:, None])[around].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(mu[0], (u * size[:, None])[around].mean(axis=0), rtol=1e-5)


def test_features_of_some_genes_are_those_of_all():
    context = study_context(*map(layer, two_states()))
    everything = context.features(np.arange(5), np.arange(40))
    assert everything.shape == (5, 40, len(CELL_FEATURES))
    np.testing.assert_array_equal(context.features(np.arange(5), np.array([7, 2])), everything[:, [7, 2]])


def test_a_gene_without_counts_is_not_usable_and_has_no_statistics():
    s, u = two_states()
    s[:, 4] = u[:, 4] = 0
    context = study_context(layer(s), layer(u))
    assert not context.usable_G[4]
    assert context.usable_G.sum() == 39
    assert (context.statistics(np.array([4])) == np.zeros((1, len(STATISTICS)))).all()


def test_context_repeats_to_the_bit():
    one, two = (study_context(*map(layer, two_states())) for _ in range(2))
    np.testing.assert_array_equal(
        one.features(np.arange(60), np.arange(40)), two.features(np.arange(60), np.arange(40))
    )


def test_cells_without_counts_are_no_error():
    s, u = two_states()
    s[0] = u[0] = 0
    assert np.isfinite(study_context(layer(s), layer(u)).features(np.arange(60), np.arange(40))).all()


def test_two_cells_are_no_study():
    with pytest.raises(ValueError, match="3 cells"):
        study_context(layer(np.ones((2, 3), int)), layer(np.ones((2, 3), int)))
