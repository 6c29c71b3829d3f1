"""Likelihoods of counts."""

import torch


def negative_binomial_nll(counts: torch.Tensor, mean: torch.Tensor, log_dispersion: torch.Tensor) -> torch.Tensor:
    """−log NB(counts | mean, r) elementwise, r = exp(`log_dispersion`); the variance is mean + mean² / r."""
    r = log_dispersion.exp()
    return -(
        torch.lgamma(counts + r)
        - torch.lgamma(r)
        - torch.lgamma(counts + 1)
        # log1p, since log r - log (r + mean) loses all digits where the dispersion is nearly Poisson's.
        - r * torch.log1p(mean / r)
        + counts * (torch.log(mean.clamp_min(1e-12)) - torch.log(r + mean))
    )
