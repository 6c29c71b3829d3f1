"""Simulated genes have real names and rates of their own."""

import numpy as np
import pytest

from velocorpus.errors import UserMistake
from velocorpus.simulate import genes


def test_every_gene_is_in_the_list_once() -> None:
    chosen = genes.choose(2000)
    assert chosen.index.is_unique
    assert chosen["symbol"].is_unique
    assert chosen.index.str.fullmatch(r"ENSG\d{11}").all()


def test_a_small_choice_is_part_of_a_large_one_with_the_same_rates() -> None:
    few, many = genes.choose(120), genes.choose(600)
    assert many.loc[few.index].equals(few)


def test_a_genes_rates_never_change() -> None:
    rates = genes.rates(["ENSG00000187583"]).iloc[0]
    expected = {
        "alpha_scale": 0.631187868181,
        "beta": 1.39082695866,
        "gamma": 0.194682666592,
        "ambiguous_share": 0.0706657305103,
    }
    assert dict(rates) == pytest.approx(expected, rel=1e-9)


def test_rates_are_spread_as_stated() -> None:
    rates = genes.choose(2000)
    assert np.log(rates["beta"]).std() == pytest.approx(genes.BETA_LOG_SD, rel=0.05)
    assert np.median(rates["gamma"]) == pytest.approx(genes.GAMMA_MEDIAN, rel=0.05)


def test_more_genes_than_the_list_has_are_refused() -> None:
    with pytest.raises(UserMistake, match="2001 simulated genes"):
        genes.choose(2001)
