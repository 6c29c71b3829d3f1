"""Losses of pretraining: symmetric InfoNCE, and the likelihood of hidden counts.

Shape suffix legend: B = cells, D = model dimension, M = hidden genes of a batch.
"""

import torch
from torch.nn import functional as F

from velocorpus.model.likelihood import negative_binomial_nll


def info_nce(
    a_BD: torch.Tensor,
    b_BD: torch.Tensor,
    scale: torch.Tensor,
    present_B: torch.Tensor,
    rows_B: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric InfoNCE of two views of the same cells, and the share of cells whose own view ranks first.

    The views are of unit length; `scale` is one over the temperature. Cells for which `present_B` is False (a view is
    missing) are neither asked nor offered; rows that `rows_B` calls the same cell are not offered to each other. With
    fewer than two cells left both values are 0. Oord et al. 2018.
    """
    a, b = a_BD[present_B], b_BD[present_B]
    if len(a) < 2:
        return (a_BD.sum() + b_BD.sum()) * 0.0 + scale * 0.0, a_BD.new_zeros(())
    scores = scale * a @ b.T
    own = torch.arange(len(a), device=a.device)
    if rows_B is not None:
        rows = rows_B[present_B]
        scores = scores.masked_fill((rows[:, None] == rows) & (own[:, None] != own), -torch.inf)
    loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
    # A tie is no hit: where all views are equal (collapse) this is 0, not 1 over the cells.
    others = scores.detach().clone().fill_diagonal_(-torch.inf)
    first = (scores.detach().diagonal() > others.amax(1)).float().mean()
    return loss, first


def alignment(a_BD: torch.Tensor, b_BD: torch.Tensor) -> torch.Tensor:
    """Mean squared distance of two unit views of a cell (Wang, Isola 2020); lower is better, 0 without cells."""
    return (a_BD - b_BD).square().sum() / max(1, len(a_BD))


def uniformity(x_BD: torch.Tensor) -> torch.Tensor:
    """Log mean Gaussian potential of unit outputs (Wang, Isola 2020): lower is better, near 0 they have collapsed.

    0 for fewer than two cells.
    """
    n = len(x_BD)
    if n < 2:
        return x_BD.new_zeros(())
    # exp(−2 |x − y|²) of units; the diagonal's n ones are taken off.
    return (((4 * (x_BD @ x_BD.T - 1)).exp().sum() - n).clamp(min=1e-30) / (n * (n - 1))).log()


def truncated_nb(counts_M: torch.Tensor, mean_M: torch.Tensor, dispersion_M: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of counts ≥ 1 under a negative binomial that is known not to be 0.

    A hidden gene is hidden in its value only: that it stands among the cell's tokens says that its count is at least 1,
    so the likelihood is conditioned on it: `NB(k) / (1 - NB(0))`, variance of NB `mean + mean² / dispersion`.
    """
    mean_M = mean_M.clamp(min=1e-6)
    log_zero = -dispersion_M * torch.log1p(mean_M / dispersion_M)
    return torch.log(-torch.expm1(log_zero)) + negative_binomial_nll(counts_M, mean_M, dispersion_M.log())
