import numpy as np
import pytest

from velocorpus.evaluation import probes

RNG = np.random.default_rng(0)


def test_retrieval_counts_who_ranks_first_and_who_behind():
    a = np.eye(3)
    b = np.array([[1.0, 0, 0], [0, 0.5, 0], [0, 0.6, 0.1]])  # cell 1's own view ranks behind cell 2's
    assert probes.retrieval(a, b) == (pytest.approx(2 / 3), pytest.approx((2 + 1 + 2) / 6))


def test_views_that_are_all_equal_retrieve_nothing():
    assert probes.retrieval(np.ones((5, 2)), np.ones((5, 2))) == (0, 0)


def test_views_of_noise_retrieve_at_chance():
    top1, rank = probes.retrieval(RNG.standard_normal((400, 8)), RNG.standard_normal((400, 8)))
    assert top1 < 0.02
    assert rank == pytest.approx(0.5, abs=0.03)


def test_directions_forget_a_study_s_offset_and_scale():
    x = RNG.standard_normal((50, 4))
    np.testing.assert_allclose(probes.directions(x * 5 + 7), probes.directions(x), atol=1e-9)


def test_labels_are_read_where_they_are_linear_and_at_chance_where_they_are_not_there():
    labels = np.repeat(["a", "b"], 100)
    x = RNG.standard_normal((200, 3))
    assert probes.label_accuracy(x + (labels == "a")[:, None] * 4, labels, seed=0) > 0.95
    assert probes.label_accuracy(x, labels, seed=0) < 0.6


def test_time_on_a_cycle_joins_its_end_and_its_start():
    targets = probes.time_targets(np.array([0.0, 5.0, 10.0]), is_cycle=True)
    np.testing.assert_allclose(targets, [[1, 0], [-1, 0], [1, 0]], atol=1e-9)
    assert probes.time_targets(np.array([0.0, 5.0]), is_cycle=False).tolist() == [[0], [5]]


def test_a_time_that_is_written_into_the_outputs_is_explained():
    time = RNG.uniform(size=200)
    x = np.stack([time, RNG.standard_normal(200)], axis=1)
    assert probes.explained(x, time[:, None], seed=0) > 0.99
    assert probes.explained(x[:, 1:], time[:, None], seed=0) < 0.05


def test_groups_that_lie_apart_do_not_mix_and_equal_ones_do():
    groups = np.repeat([0, 1, 2], 100)
    x = RNG.standard_normal((300, 2))
    assert probes.mixing(x + groups[:, None] * 100, groups) == 0
    assert probes.mixing(x, groups) > 0.85


def test_an_interval_holds_the_mean_and_narrows_with_studies():
    values = RNG.standard_normal(400)
    low, high = probes.interval(values, seed=0)
    few_low, few_high = probes.interval(values[:10], seed=0)
    assert low < values.mean() < high
    assert high - low < few_high - few_low
    assert probes.interval(values, seed=0) == (low, high)
