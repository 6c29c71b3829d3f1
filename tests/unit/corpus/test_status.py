"""One row a sample, in the table's order, whatever became of it."""

import subprocess
import sys

import pyarrow as pa
import pytest

from velocorpus.corpus import schema
from velocorpus.corpus.building.totals import Totals
from velocorpus.corpus.status import status, to_table, to_tsv
from velocorpus.outcomes.outcome import write_outcome

SAMPLES = {name: {"study": "s"} for name in ("b", "a", "empty", "late")}


@pytest.fixture
def results(tmp_path):
    def totals(sample, cells):
        genes = pa.table({f.name: pa.array([], f.type) for f in schema.TOTALS_SCHEMA}, schema=schema.TOTALS_SCHEMA)
        Totals(sample, genes, 100, {"cells_in": 9, "cells": cells}).write(tmp_path / f"totals/{sample}.feather")

    for sample, cells in (("b", 7), ("empty", 0)):
        write_outcome(tmp_path / f"counts/{sample}/outcome.json", sample=sample, state="ok", stage="count")
        totals(sample, cells)
    write_outcome(tmp_path / "counts/a/outcome.json", sample="a", state="refused", reason="404.", stage="fetch")
    for name, line in (("count_reads/b.tsv", "1.5\t100\t2.25"), ("fetch_reads/b/u.tsv", "2\t-\tNA")):
        path = tmp_path / "benchmarks" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n{line}\n")
    return tmp_path


def test_every_sample_has_a_row_in_the_order_of_the_table(results):
    rows = status(SAMPLES, results)
    assert [(row.sample, row.stage, row.state, row.cells) for row in rows] == [
        ("b", "count", "ok", 7),
        ("a", "fetch", "refused", None),
        ("empty", "count", "ok", 0),
        ("late", "", "pending", None),
    ]
    assert [row.reason for row in rows] == [
        "",
        "404.",
        "none of its 9 cells has 100 spliced counts",
        "not run to its end yet",
    ]


def test_a_library_that_was_counted_before_its_twin_came_above_it_is_told(results):
    twin = results / "understood/b/duplicates.json"
    write_outcome(twin, sample="b", state="refused", reason="It shares 97% with z.", stage="duplicates")
    assert status(SAMPLES, results)[0].reason == (
        "It shares 97% with z. It was counted before and stays in the corpus."
    )


def test_costs_are_summed_over_a_samples_jobs(results):
    row = status(SAMPLES, results)[0]
    assert (row.seconds, row.cpu_seconds, row.max_rss_mb) == (3.5, 2.2, 100.0)


def test_the_table_as_text_has_one_line_a_sample(results):
    lines = to_tsv(status(SAMPLES, results)).splitlines()
    assert lines[0].split("\t")[:6] == ["sample", "study", "stage", "state", "reason", "cells"]
    assert lines[2].split("\t")[:6] == ["a", "s", "fetch", "refused", "404.", ""]
    assert len(lines) == 1 + len(SAMPLES)


def test_the_report_counts_states_and_names_every_reason_but_no_cost(results):
    table = to_table(status(SAMPLES, results))
    assert table.rows == (
        ("ok", "count", 2, 7, ""),
        ("pending", "", 1, 0, "late: not run to its end yet"),
        ("refused", "fetch", 1, 0, "a: 404."),
    )
    assert "a: 404." in table.note
    assert "empty: none of its 9 cells" in table.note


def test_telling_needs_no_compiler():
    """The workflow starts these for every sample, and numba alone would cost more than they do."""
    modules = (
        "velocorpus.corpus.status, velocorpus.corpus.plan, velocorpus.corpus.vocabulary, velocorpus.outcomes.attempt"
    )
    code = f"import sys, {modules}; sys.exit(bool({{'numba', 'pandas', 'anndata'}} & {{*sys.modules}}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_sample_that_is_set_aside_after_its_counts_is_told(results):
    Totals("b", schema.TOTALS_SCHEMA.empty_table(), 100, reason="Killed.").write(results / "totals/b.feather")
    path = results / "doublets/b/outcome.json"
    write_outcome(path, sample="b", state="failed", reason="Killed.", stage="doublets")
    row = status(SAMPLES, results)[0]
    assert (row.stage, row.state, row.reason, row.cells) == ("doublets", "failed", "Killed.", None)
