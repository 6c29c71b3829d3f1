"""`velocorpus simulate` makes what it is asked for and refuses the rest."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from velocorpus.cli.simulate import app
from velocorpus.errors import UserMistake


def run(*arguments: object) -> None:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output


def test_only_the_named_parts_are_made(tmp_path: Path) -> None:
    run("--preset", "tiny", "--out", tmp_path, "--only", "tables", "--only", "sim_01_d1")
    made = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {
        "samples.tsv",
        "units.tsv",
        "references.tsv",
        "sim_01_d1/counts.h5ad",
        "sim_01_d1/truth.h5ad",
    }


def test_an_unknown_part_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="makes no 'sim_77'"):
        run("--preset", "tiny", "--out", tmp_path / "o", "--only", "tables", "--only", "sim_77")
    assert not (tmp_path / "o").exists()
