"""The workflow's tables describe what the simulator writes."""

from pathlib import Path

import pytest

from velocorpus.simulate.presets import preset
from velocorpus.simulate.tables import render
from velocorpus.tables import load_tables

CONFIG = Path(__file__).parents[3] / "config"
SIMULATED = "results/simulated"


@pytest.mark.parametrize(("name", "folder"), [("demo", CONFIG), ("tiny", CONFIG / "examples/tiny")])
def test_the_committed_tables_are_those_that_the_simulator_writes(name: str, folder: Path) -> None:
    for file, text in render(preset(name), SIMULATED).items():
        assert (folder / file).read_text(encoding="utf-8") == text, (
            f"run `velocorpus simulate --preset {name} --out {SIMULATED} --only tables` and copy {file}"
        )


@pytest.mark.parametrize("name", ["tiny", "demo", "bench"])
def test_the_tables_pass_the_workflows_checks(name: str, tmp_path: Path) -> None:
    for file, text in render(preset(name), SIMULATED).items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    tables = load_tables(
        tmp_path / "samples.tsv", tmp_path / "units.tsv", tmp_path / "references.tsv", made_here=[SIMULATED]
    )
    assert list(tables.samples) == [s.name for s in preset(name).samples]
