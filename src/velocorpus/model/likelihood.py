"""Likelihoods of counts."""

import torch


def negative_binomial_nll(counts: torch.Tensor, mean: torch.Tensor, log_dispersion: torch.Tensor) -> torch.Tensor:
    """−log NB(counts | mean, r) elementwise, r = exp(`log_dispersion`); the variance is mean + mean² / r."""
    r = log_dispersion.exp()
    log_total = torch.log(r + mean)
    return -(
        torch.lgamma(counts + r)
        - torch.lgamma(r)
        - torch.lgamma(counts + 1)
        + r * (log_dispersion - log_total)
        + counts * (torch.log(mean.clamp_min(1e-12)) - log_total)
    )
