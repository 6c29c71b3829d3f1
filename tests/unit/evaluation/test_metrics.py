import numpy as np
import pytest

from velocorpus.evaluation.metrics import cosine_rows, moving, score_velocity, spearman_columns

RNG = np.random.default_rng(0)


def true_velocity(n: int = 50, g: int = 20) -> np.ndarray:
    return RNG.normal(size=(n, g)) * np.exp(RNG.normal(size=g))


def everything(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.ones(v.shape[1], bool), np.ones(len(v), bool)


def test_the_truth_scores_one():
    v = true_velocity()
    s = score_velocity(v, v, *everything(v))
    assert (s.cosine_raw, s.cosine_z, s.cosine_rescaled, s.spearman, s.sign) == pytest.approx((1, 1, 1, 1, 1))


def test_the_reverse_scores_minus_one():
    v = true_velocity()
    s = score_velocity(-v, v, *everything(v))
    assert (s.cosine_raw, s.cosine_z, s.sign) == pytest.approx((-1, -1, 0))


def test_rescaled_cosine_is_free_of_each_gene_s_time_scale():
    v = true_velocity()
    s = score_velocity(v * np.exp(RNG.normal(size=v.shape[1]) * 2), v, *everything(v))
    assert s.cosine_rescaled == pytest.approx(1)
    assert s.cosine_raw < 0.99


def test_z_scaled_cosine_does_not_see_one_large_gene_alone():
    v = true_velocity()
    v[:, 0] *= 1000
    predicted = np.zeros_like(v)
    predicted[:, 0] = v[:, 0]
    s = score_velocity(predicted, v, *everything(v))
    assert s.cosine_raw > 0.95
    assert s.cosine_z < 0.5


def test_a_gene_not_fitted_counts_as_zero():
    v = true_velocity()
    half = np.where(np.arange(20) < 10, v, np.nan)
    zero = np.where(np.arange(20) < 10, v, 0)
    assert score_velocity(half, v, *everything(v)) == score_velocity(zero, v, *everything(v))


def test_genes_and_cells_at_rest_are_told():
    v = np.abs(true_velocity()) + 0.1
    v[:, 3] = 0
    v[7] = 0
    found = moving(v, np.ones(20))
    assert not found.genes_G[3]
    assert not found.cells_N[7]
    assert found.genes_G.sum() == 19
    assert found.cells_N.sum() == 49


def test_cosine_of_a_row_of_zeros_is_zero():
    assert cosine_rows(np.zeros((1, 3)), np.ones((1, 3))) == 0


def test_spearman_is_of_ranks():
    x = np.arange(10.0)[:, None]
    assert spearman_columns(np.exp(x), x)[0] == pytest.approx(1)
