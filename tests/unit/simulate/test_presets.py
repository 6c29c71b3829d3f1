"""Presets hold what they promise, and the frozen one does not move."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.simulate import presets
from velocorpus.simulate.presets import PRODUCTS, SamplePlan, preset
from velocorpus.simulate.products import simulate_sample

# Every table of results names the bench: a change here is a new bench, and says so in CHANGELOG.md.
BENCH_PARAMETERS = "9ddd55e1aaf424f431651faf4350fe694ecee9d644f10a1c617c10089f703624"
BENCH_CONTENT = "eb9a842fa96a8d9116377bc6776ee70207392215248f1376a9df44b314a1ccb9"


def test_bench_has_the_parameters_that_it_was_frozen_with() -> None:
    assert preset("bench").digest() == BENCH_PARAMETERS


def test_bench_draws_the_cells_that_it_was_frozen_with() -> None:
    plan = SamplePlan("frozen", "frozen", "frozen", "branching", 40, "counts", "none", "test")
    sample = simulate_sample(preset("bench"), plan)
    digest = hashlib.sha256()
    for layer in names.LAYERS:
        digest.update(sample.molecules.layers[layer].toarray().astype("<i4").tobytes())
    # Six decimals: what another machine's exponential function may differ in lies far behind them.
    for values in (sample.cells.spliced, sample.cells.unspliced, sample.cells.velocity):
        digest.update(np.rint(values * 1e6).astype("<i8").tobytes())
    assert digest.hexdigest() == BENCH_CONTENT


def test_bench_has_the_pilots_splits_with_three_test_studies_of_each_topology() -> None:
    bench = preset("bench")
    assert [len(bench.studies_of(split)) for split in names.SPLITS] == [36, 3, 9]
    assert Counter(s.topology for s in bench.samples if s.split == "test") == {
        "linear": 3,
        "branching": 3,
        "cyclic": 3,
    }


@pytest.mark.parametrize("name", ["tiny", "demo"])
def test_every_kind_of_product_and_every_split_is_in_a_preset(name: str) -> None:
    samples = preset(name).samples
    assert {s.product for s in samples} == set(PRODUCTS)
    assert {s.split for s in samples} == set(names.SPLITS)


def test_demo_has_1500_cells_by_reads_or_import_and_each_topology_in_the_test() -> None:
    demo = preset("demo")
    assert sum(s.n_cells for s in demo.samples if s.product != "counts") >= 1500
    assert {s.topology for s in demo.samples if s.split == "test"} == {"linear", "branching", "cyclic"}
    assert demo.studies_of("test") == ("sim_13", "sim_14", "sim_15")
    assert demo.studies_of("validation") == ("sim_11", "sim_12")


def test_no_study_is_in_two_splits() -> None:
    for each in presets.PRESETS.values():
        splits = [set(each.studies_of(split)) for split in names.SPLITS]
        assert sum(map(len, splits)) == len(set.union(*splits))


def test_most_cells_of_the_demo_pass_the_papers_filter() -> None:
    demo = preset("demo")
    sample = simulate_sample(demo, demo.sample("sim_01_d1"))
    spliced = np.asarray(sample.molecules.layers["spliced"].sum(axis=1)).ravel()
    assert np.mean(spliced >= 1000) > 0.95


def test_samples_of_one_study_share_its_rates_but_not_its_cells() -> None:
    tiny = preset("tiny")
    one, two = (simulate_sample(tiny, tiny.sample(name)) for name in ("sim_a_d1", "sim_a_d2"))
    assert one.study.genes.equals(two.study.genes)
    assert not np.array_equal(one.cells.spliced, two.cells.spliced)


def test_an_unknown_preset_or_sample_is_refused() -> None:
    with pytest.raises(UserMistake, match="tiny, demo, bench"):
        preset("large")
    with pytest.raises(UserMistake, match="no sample 'sim_99'"):
        preset("tiny").sample("sim_99")
