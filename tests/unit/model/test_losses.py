"""The losses against values computed by hand or by scipy."""

import math

import pytest
import torch
from scipy import stats

from velocorpus.model.losses import alignment, info_nce, truncated_nb, uniformity

ALL = torch.ones(3, dtype=torch.bool)


def test_orthogonal_equal_views_have_the_loss_of_a_sure_choice():
    views = torch.eye(3)
    loss, first = info_nce(views, views, torch.tensor(2.0), ALL)
    assert float(loss) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 2)))
    assert float(first) == 1


def test_collapsed_views_have_the_loss_of_a_guess_and_no_hits():
    views = torch.tensor([[1.0, 0.0]]).expand(3, 2)
    loss, first = info_nce(views, views, torch.tensor(5.0), ALL)
    assert float(loss) == pytest.approx(math.log(3))
    assert float(first) == 0


def test_missing_cells_are_neither_asked_nor_offered():
    views = torch.nn.functional.normalize(torch.randn(4, 5), dim=1)
    present = torch.tensor([True, False, True, True])
    loss, _ = info_nce(views, views.roll(1, 1), torch.tensor(3.0), present)
    kept, _ = info_nce(views[present], views.roll(1, 1)[present], torch.tensor(3.0), ALL)
    assert torch.equal(loss, kept)


def test_fewer_than_two_cells_give_a_zero_that_has_gradients():
    views = torch.ones(2, 3, requires_grad=True)
    loss, _ = info_nce(views, views, torch.tensor(1.0), torch.tensor([True, False]))
    loss.backward()
    assert float(loss.detach()) == 0
    assert (views.grad == 0).all()


@pytest.mark.parametrize(("count", "mean", "dispersion"), [(1, 0.01, 1.0), (3, 2.5, 0.7), (40, 12.0, 5.0)])
def test_the_truncated_negative_binomial_equals_scipys(count, mean, dispersion):
    law = stats.nbinom(dispersion, dispersion / (dispersion + mean))
    expected = -(law.logpmf(count) - math.log(1 - law.pmf(0)))
    got = truncated_nb(*(torch.tensor([float(x)], dtype=torch.float64) for x in (count, mean, dispersion)))
    assert float(got) == pytest.approx(expected, rel=1e-6)


def test_the_truncated_likelihood_is_finite_for_tiny_means():
    mean = torch.tensor([0.0, 1e-12], requires_grad=True)
    loss = truncated_nb(torch.tensor([1.0, 7.0]), mean, torch.tensor([1.0, 100.0])).sum()
    loss.backward()
    assert loss.isfinite()
    assert mean.grad.isfinite().all()


def test_collapse_shows_as_uniformity_near_zero():
    same = torch.tensor([[1.0, 0.0]]).expand(5, 2).contiguous()
    assert (float(alignment(same, same)), float(uniformity(same))) == (0, 0)


def test_uniformity_is_the_log_of_the_mean_gaussian_potential_of_all_pairs():
    views = torch.nn.functional.normalize(torch.randn(6, 3), dim=1)
    assert float(uniformity(views)) == pytest.approx(
        float(torch.pdist(views).square().mul(-2).exp().mean().log()), 1e-4
    )


def test_a_cell_that_the_batch_holds_twice_is_no_negative_of_itself():
    a, b = (torch.nn.functional.normalize(torch.randn(3, 5), dim=1) for _ in range(2))
    loss, _ = info_nce(a, b, torch.tensor(3.0), ALL, torch.tensor([7, 8, 7]))
    scores = 3 * a @ b.T
    offered = [[0, 1], [0, 1, 2], [1, 2]]
    asked = [s[i][offered[i]].logsumexp(0) - s[i][i] for s in (scores, scores.T) for i in range(3)]
    assert float(loss) == pytest.approx(float(torch.stack(asked).mean()))
