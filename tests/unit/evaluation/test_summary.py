"""The summary joins tables of one kind, keeps the terminal short and the page whole."""

import json
from pathlib import Path

import pytest

from velocorpus.errors import UserMistake
from velocorpus.evaluation.figures import metric_panels
from velocorpus.evaluation.summary import loss_curves, read_tables, to_html, to_text
from velocorpus.evaluation.table import Table, Value
from velocorpus.outcomes.outcome import write_outcome


def write(path: Path, *rows: tuple[Value, ...], columns: tuple[str, ...], title: str = "Counts") -> Path:
    Table(title, columns, rows, "How to read it.").write(path)
    return path


def test_tables_of_one_kind_become_one_with_the_names_of_their_files(tmp_path):
    paths = [write(tmp_path / f"{name}.json", (0.5,), columns=("error",)) for name in ("s1", "s2")]
    (table,) = read_tables(paths)
    assert table.columns == ("sample", "error")
    assert table.rows == (("s1", 0.5), ("s2", 0.5))


def test_the_terminal_shows_means_over_studies_alone(tmp_path):
    rows = (("a", "decoder", 0.25), ("mean", "decoder", 0.75))
    text = to_text(read_tables([write(tmp_path / "v.json", *rows, columns=("study", "method", "cosine"))]))
    assert "0.75" in text
    assert "0.25" not in text


def test_the_page_shows_every_row_and_the_note(tmp_path):
    rows = (("a", "<b>", 0.25), ("mean", "decoder", 0.75))
    page = to_html(read_tables([write(tmp_path / "v.json", *rows, columns=("study", "method", "cosine"))]))
    assert "0.25" in page
    assert "&lt;b&gt;" in page
    assert "How to read it." in page


def test_a_file_that_is_no_table_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(UserMistake, match=r"x\.json is not a table of results"):
        read_tables([tmp_path / "x.json"])


def test_a_comparison_that_was_not_made_says_why(tmp_path):
    write_outcome(tmp_path / "a.json", sample="a", state="refused", reason="No cells.", stage="count")
    assert "No cells." in to_html(read_tables([tmp_path / "a.json"]))


def test_curves_are_drawn_with_whatever_was_validated(tmp_path):
    lines = [{"step": 1, "split": "train", "loss": 1.0}, {"step": 1, "split": "validation", "cosine": 0.5}]
    metrics = tmp_path / "velocity" / "metrics.jsonl"
    metrics.parent.mkdir()
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    loss_curves([metrics], tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 1000
    metric_panels(metrics, tmp_path / "panels.svg")
    drawn = (tmp_path / "panels.svg").read_text()
    assert "<!-- loss -->" in drawn
    assert "<!-- cosine -->" in drawn
