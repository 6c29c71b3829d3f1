import pytest
import torch

from velocorpus.data.context import CELL_FEATURES, STATISTICS
from velocorpus.model.expression import ExpressionDecoder, expected_log, expression_loss
from velocorpus.model.queries import GeneQueries
from velocorpus.model.velocity import VelocityDecoder, VelocityOutput, velocity_loss

F, S = len(CELL_FEATURES), len(STATISTICS)


def inputs(b: int = 3, q: int = 5, d: int = 8) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    return torch.randn(b, 10, d), torch.arange(q), torch.randn(b, q, F), torch.randn(q, S)


def test_velocity_of_a_gene_does_not_depend_on_what_else_is_asked():
    decoder = VelocityDecoder(9, 8).eval()
    memory, genes, features, statistics = inputs()
    every = decoder(memory, genes, features, statistics).z_BQ
    one = decoder(memory, genes[2:3], features[:, 2:3], statistics[2:3]).z_BQ
    torch.testing.assert_close(one[:, 0], every[:, 2])


def test_mode_none_is_blind_to_the_study():
    decoder = VelocityDecoder(9, 8, mode="none").eval()
    memory, genes, features, statistics = inputs()
    before = decoder(memory, genes, features, statistics)
    features = features.clone()
    features[..., : CELL_FEATURES.index("own_spliced")] += 1
    after = decoder(memory, genes, features, statistics + 1)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_unknown_genes_share_one_embedding():
    queries = GeneQueries(9, 8, 4, 2, 0.0).eval()
    embedded = queries.embed(torch.tensor([-1, -1, 3]))
    assert torch.equal(embedded[0], embedded[1])
    assert not torch.equal(embedded[0], embedded[2])


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="neighbours"):
        VelocityDecoder(9, 8, mode="prompt")


def test_loss_of_velocity_ignores_genes_that_were_not_fitted():
    output = VelocityOutput(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(3))
    target = torch.tensor([[1.0, torch.nan, 2.0], [0.0, torch.nan, 1.0]])
    assert float(velocity_loss(output, target, torch.zeros(3))) == pytest.approx(0.5 * (1 + 4 + 0 + 1) / 4)


def test_expression_starts_at_the_mean_of_the_study():
    decoder = ExpressionDecoder(9, 8).eval()
    memory, genes, features, statistics = inputs()
    base = torch.rand(3, 5, 2) + 0.1
    mean, log_dispersion = decoder(memory, genes, features, statistics, base)
    torch.testing.assert_close(mean, base)
    assert log_dispersion.shape == (5, 2)


def test_expression_decoder_does_not_read_the_cell_s_own_count():
    decoder = ExpressionDecoder(9, 8).eval()
    torch.nn.init.normal_(decoder.change.weight)
    memory, genes, features, statistics = inputs()
    other = features.clone()
    other[..., CELL_FEATURES.index("own_spliced")] += 1
    base = torch.ones(3, 5, 2)
    assert torch.equal(
        decoder(memory, genes, features, statistics, base)[0], decoder(memory, genes, other, statistics, base)[0]
    )


def test_hidden_counts_weigh_ten_times_shown_ones():
    counts = torch.tensor([[[0.0], [5.0]]])
    mean, dispersion = torch.ones(1, 2, 1), torch.zeros(2, 1)

    def of(hidden: list[bool]) -> float:
        return float(expression_loss(mean, dispersion, counts, torch.tensor([hidden])))

    zero, five = (
        float(expression_loss(mean[:, :1], dispersion[:1], c, torch.tensor([[True]]))) for c in counts.split(1, 1)
    )
    assert of([True, False]) == pytest.approx((zero + 0.1 * five) / 1.1, rel=1e-5)


def test_expected_log_is_the_mean_of_draws():
    torch.manual_seed(0)
    draws = torch.distributions.NegativeBinomial(2.0, probs=torch.tensor(4 / 6)).sample((200_000,))
    expected = expected_log(torch.tensor([4.0]), torch.tensor([2.0]).log(), torch.tensor([3.0]))
    assert float(expected) == pytest.approx(float(torch.log1p(3 * draws).mean()), rel=5e-3)
