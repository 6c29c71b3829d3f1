"""Configuration and tables are checked against each other; what is generated from them does not drift."""

from pathlib import Path

import pytest
import yaml

from velocorpus import documentation
from velocorpus.config import WorkflowConfig, parse
from velocorpus.errors import UserMistake
from velocorpus.project import Project, load_project
from velocorpus.simulate.presets import preset
from velocorpus.simulate.tables import render

ROOT = Path(__file__).parents[2]


def project(folder: Path, **changes: object) -> Project:
    """The tiny example with keys of its configuration replaced."""
    example = ROOT / "config/examples/tiny"
    for name in ("samples.tsv", "units.tsv", "references.tsv", "training.yaml"):
        (folder / name).write_bytes((example / name).read_bytes())
    values = yaml.safe_load((example / "config.yaml").read_text()) | changes
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return load_project(folder / "config.yaml")


def test_unknown_key_is_named_with_the_nearest():
    with pytest.raises(UserMistake, match=r"'cells\.min_count' is not a key; the nearest valid one is 'min_counts'"):
        parse(WorkflowConfig, {"cells": {"min_count": 5}}, "config.yaml")


def test_value_of_another_kind_is_named():
    with pytest.raises(UserMistake, match=r"config\.yaml: 'cells\.min_counts': .*integer.*'many'"):
        parse(WorkflowConfig, {"cells": {"min_counts": "many"}}, "config.yaml")


def test_a_study_is_in_one_split(tmp_path):
    with pytest.raises(UserMistake, match=r"config\.yaml: Study sim_04 is both for validation and for test"):
        project(tmp_path, corpus={"validation_studies": ["sim_04"], "test_studies": ["sim_04"]})


def test_unknown_study_is_named_with_the_known(tmp_path):
    with pytest.raises(UserMistake, match=r"corpus\.test_studies names 'sim_99'.*sim_a, sim_b"):
        project(tmp_path, corpus={"test_studies": ["sim_99"]})


def test_training_keeps_a_study(tmp_path):
    every = list(project(tmp_path).tables.studies)
    with pytest.raises(UserMistake, match="leave at least one for train"):
        project(tmp_path, corpus={"test_studies": every})


def test_rules_hold_out_whole_studies_beside_named_ones(tmp_path):
    splits = project(
        tmp_path, corpus={"test_studies": ["sim_04"], "hold_out": ["validation:tissue=pancreas", "test:tissue=blood"]}
    ).splits
    assert splits.validation == ("sim_02", "sim_b")
    assert splits.test == ("sim_04", "sim_01", "sim_a")  # the first one is the trajectories' by default


def test_a_rule_that_no_sample_meets_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(UserMistake, match=r"config\.yaml: The rule 'test:tissue=lung' meets no sample.* blood, brain"):
        project(tmp_path, corpus={"hold_out": ["test:tissue=lung"]})


def test_a_cut_by_scores_that_nobody_computes_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"set cells\.score_doublets to true"):
        project(tmp_path, cells={"cuts": {"max_doublet_score": 0.3}})


def test_simulated_files_must_exist_without_a_simulation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the checkout has them once the demo has run
    with pytest.raises(UserMistake, match=r"the file 'results/simulated/.*' does not exist"):
        project(tmp_path, simulate={})


def test_truth_teaches_unless_it_is_switched_off(tmp_path):
    assert project(tmp_path).teacher("sim_01") == "truth"
    assert project(tmp_path, targets={"use_truth": False}).teacher("sim_01") == "scvelo_stochastic"


def test_missing_table_is_named(tmp_path):
    with pytest.raises(UserMistake, match=r"The table .*nowhere\.tsv does not exist"):
        project(tmp_path, samples="nowhere.tsv")


def test_readme_has_every_key_as_the_code_has_it():
    text = (ROOT / documentation.README).read_text(encoding="utf-8")
    assert text == documentation.with_tables(text), "run `python -m velocorpus.documentation`"


@pytest.mark.parametrize(("path", "section"), documentation.SCHEMAS.items(), ids=str)
def test_schema_is_as_the_code_has_it(path, section):
    assert (ROOT / path).read_text(encoding="utf-8") == documentation.schema(section)


@pytest.mark.parametrize(("name", "folder"), [("demo", "config"), ("tiny", "config/examples/tiny")])
def test_committed_tables_are_the_simulators(name, folder):
    for file, text in render(preset(name), "results/simulated").items():
        assert (ROOT / folder / file).read_text(encoding="utf-8") == text
