import numpy as np
import torch
from scipy import stats

from velocorpus.model.likelihood import negative_binomial_nll
from velocorpus.model.trajectory import Decided, TrajectoryDecoder, next_mean, trajectory_loss

B, Q, R, F, E = 5, 7, 3, 4, 8


def a_decoder() -> TrajectoryDecoder:
    torch.manual_seed(0)
    return TrajectoryDecoder(n_genes=20, d_encoder=E, n_features=F, d_model=16, n_heads=2)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(B, 9, E, generator=generator),
        torch.arange(Q),
        torch.randn(B, Q, F, generator=generator),
        torch.rand(B, generator=generator),
    )


def test_negative_binomial_equals_scipy():
    counts, mean, log_r = np.array([0.0, 3.0, 250.0]), np.array([0.1, 2.0, 200.0]), np.array([-1.0, 0.5, 3.0])
    r = np.exp(log_r)
    ours = negative_binomial_nll(*(torch.from_numpy(x) for x in (counts, mean, log_r)))
    np.testing.assert_allclose(ours.numpy(), -stats.nbinom.logpmf(counts, r, r / (r + mean)), rtol=1e-6)


def test_untrained_decoder_says_that_nothing_changes():
    predicted = a_decoder()(*inputs())
    assert predicted.change_BQ2.shape == (B, Q, 2)
    assert torch.all(predicted.change_BQ2 == 0)


def test_decided_genes_change_what_the_others_become():
    decoder = a_decoder()
    torch.nn.init.normal_(decoder.head.weight)
    decided = Decided(torch.arange(10, 10 + R), torch.zeros(B, R, F), torch.ones(B, R, 2), torch.ones(B, R, 2))
    alone, told = decoder(*inputs()).change_BQ2, decoder(*inputs(), decided).change_BQ2
    assert (alone - told).abs().max() > 1e-4


def test_next_mean_is_never_below_zero():
    mean = next_mean(torch.ones(1, 2, 2), torch.ones(2, 2), torch.full((1, 2, 2), -3.0))
    assert torch.all(mean == 0.01)


def test_decoder_overfits_one_batch():
    decoder = a_decoder()
    memory, genes, features, step = inputs()
    smoothed, deviation = torch.ones(B, Q, 2), torch.ones(Q, 2)
    following = smoothed + torch.randn(B, Q, 2, generator=torch.Generator().manual_seed(2)) / 2
    optimiser = torch.optim.Adam(decoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(150):
        change, scatter = trajectory_loss(
            decoder(memory, genes, features, step),
            smoothed_BQ2=smoothed,
            deviation_Q2=deviation,
            next_smoothed_BQ2=following,
            next_counts_BQ2=following.round().clamp_min(0),
            exposure_B=torch.ones(B),
            weight_Q=torch.ones(Q),
        )
        optimiser.zero_grad()
        (change + 0.1 * scatter).backward()
        optimiser.step()
        losses.append(change.item())
    assert losses[-1] < 0.05 * losses[0]
