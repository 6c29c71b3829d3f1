"""The simulated kinetics are those that the module states."""

import numpy as np
import pytest

from velocorpus.simulate import genes
from velocorpus.simulate.kinetics import KineticsParameters, Study, draw_cells, draw_study
from velocorpus.simulate.programs import STEP, TOPOLOGIES

PARAMETERS = KineticsParameters()


def make_study(topology: str, n_genes: int = 150, seed: int = 3) -> Study:
    return draw_study(genes.choose(n_genes), topology, PARAMETERS, np.random.default_rng(seed))


def rates(study: Study) -> tuple[np.ndarray, ...]:
    return tuple(study.genes[c].to_numpy() for c in ("beta", "gamma", "capture"))


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_velocity_is_the_slope_of_abundance_over_time(topology: str) -> None:
    study = make_study(topology)
    beta, gamma, capture = rates(study)
    for alpha, u, s in zip(study.alpha, study.unspliced, study.spliced, strict=True):
        slope_s, slope_u = (x[2:] / (2 * STEP) - x[:-2] / (2 * STEP) for x in (s, u))
        velocity = (beta / capture) * u - gamma * s
        velocity_u = study.efficiency * capture * alpha - beta * u
        for slope, true in ((slope_s, velocity[1:-1]), (slope_u, velocity_u[1:-1])):
            moving = np.abs(true).max(axis=0)
            assert (np.abs(slope - true).max(axis=0) <= 0.02 * moving + 1e-9).all()


def test_a_step_agrees_with_a_thousand_small_ones() -> None:
    study = make_study("linear", n_genes=40)
    beta, gamma, capture = rates(study)
    alpha, i = study.alpha[0], len(study.alpha[0]) // 3
    u, s = study.unspliced[0][i] / (study.efficiency * capture), study.spliced[0][i] / study.efficiency
    for k in range(1000):
        a = alpha[i] + (alpha[i + 1] - alpha[i]) * (k + 0.5) / 1000
        h = STEP / 1000
        half_u, half_s = u + h / 2 * (a - beta * u), s + h / 2 * (beta * u - gamma * s)
        u, s = u + h * (a - beta * half_u), s + h * (beta * half_u - gamma * half_s)
    np.testing.assert_allclose(study.unspliced[0][i + 1], u * study.efficiency * capture, rtol=1e-8)
    np.testing.assert_allclose(study.spliced[0][i + 1], s * study.efficiency, rtol=1e-8)


def test_a_cycle_ends_where_it_began() -> None:
    study = make_study("cyclic")
    np.testing.assert_allclose(study.spliced[0][-1], study.spliced[0][0], rtol=1e-9)
    np.testing.assert_allclose(study.unspliced[0][-1], study.unspliced[0][0], rtol=1e-9)


def test_branches_leave_the_trunk_without_a_jump_and_part() -> None:
    study = make_study("branching")
    trunk, *ends = range(len(study.spliced))
    assert len(ends) >= 2
    for end in ends:
        np.testing.assert_array_equal(study.spliced[end][0], study.spliced[trunk][-1])
        np.testing.assert_allclose(study.alpha[end][0], study.alpha[trunk][-1])
    last = [study.spliced[end][-1] for end in ends]
    assert np.linalg.norm(last[0] - last[1]) > 0.1 * np.linalg.norm(last[0])


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_cells_velocity_follows_from_its_abundances_and_rates(topology: str) -> None:
    study = make_study(topology)
    beta, gamma, capture = rates(study)
    cells = draw_cells(study, 80, PARAMETERS, np.random.default_rng(0))
    np.testing.assert_allclose(cells.velocity, (beta / capture) * cells.unspliced - gamma * cells.spliced, atol=1e-9)


def test_stationary_cells_do_not_move_and_only_ends_have_them() -> None:
    parameters = KineticsParameters(stationary_share=0.5)
    study = make_study("branching")
    cells = draw_cells(study, 200, parameters, np.random.default_rng(0))
    at_rest = cells.obs["stationary"].to_numpy()
    assert at_rest.any()
    assert not cells.velocity[at_rest].any()
    assert not at_rest[cells.obs["branch"] == "trunk"].any()


def test_cells_between_nodes_lie_on_the_curve() -> None:
    study = make_study("linear", n_genes=30)
    cells = draw_cells(study, 50, KineticsParameters(stationary_share=0), np.random.default_rng(0))
    hours = cells.obs["pseudotime"].to_numpy()
    nodes = np.arange(len(study.spliced[0])) * STEP
    for g in range(30):
        linear = np.interp(hours, nodes, study.spliced[0][:, g])
        np.testing.assert_allclose(cells.spliced[:, g], linear, rtol=2e-3)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_between_15_and_25_percent_of_captured_molecules_are_unspliced(topology: str) -> None:
    study = make_study(topology, n_genes=600)
    cells = draw_cells(study, 100, PARAMETERS, np.random.default_rng(0))
    share = cells.unspliced.sum() / (cells.unspliced + cells.spliced).sum()
    assert 0.15 <= share <= 0.25


def test_studies_of_the_same_genes_differ_in_programs_and_a_little_in_rates() -> None:
    one, two = make_study("linear", 600, seed=1), make_study("linear", 600, seed=2)
    for rate, sd in (("beta", 0.3), ("gamma", 0.3), ("capture", 0.2)):
        differences = np.log(one.genes[rate] / two.genes[rate])
        assert np.std(differences) == pytest.approx(sd * np.sqrt(2), rel=0.1)
    assert one.programs.activity[0].shape != two.programs.activity[0].shape


def test_some_genes_are_in_several_programs_and_some_in_none() -> None:
    weights = make_study("linear", 600).genes.filter(like="weight_").to_numpy()
    n_programs = (weights != 0).sum(axis=1)
    assert set(n_programs) == {0, 1, 2}


def test_a_gene_in_no_program_has_no_velocity_at_all() -> None:
    study = make_study("linear", 600)
    idle = ~(study.genes.filter(like="weight_") != 0).any(axis=1).to_numpy()
    cells = draw_cells(study, 50, PARAMETERS, np.random.default_rng(0))
    assert idle.any()
    assert not cells.velocity[:, idle].any()
    assert not cells.velocity_unspliced[:, idle].any()
