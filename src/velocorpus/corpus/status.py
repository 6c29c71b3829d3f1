"""What became of every sample, and at what cost: one row a sample, whole runs and half ones alike."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from velocorpus import names
from velocorpus.corpus import schema
from velocorpus.evaluation.table import Table
from velocorpus.outcomes.outcome import OUTCOME_FILE, read_outcome, refusal_at

PENDING = "pending"


@dataclass(frozen=True)
class Row:
    """One sample; the columns of status.tsv. Only the costs, from `seconds` on, differ from run to run."""

    sample: str
    study: str
    stage: str  # the last one: where the sample was set aside, or what made its counts
    state: str  # ok, refused, failed, skipped (see `counting.outcome`), or pending
    reason: str
    cells: int | None  # in the corpus: those that pass the filter
    seconds: float  # of all its steps, from Snakemake's benchmarks
    cpu_seconds: float
    max_rss_mb: float


def status(samples: Mapping[str, Mapping[str, str]], results: Path) -> list[Row]:
    """One row for each of `samples` (their rows of samples.tsv), in that order, from the files in `results`."""
    return [_row(sample, about.get(names.STUDY, ""), results) for sample, about in samples.items()]


def to_tsv(rows: Sequence[Row]) -> str:
    """The rows as tab-separated text with a header."""
    text = io.StringIO()
    table = csv.DictWriter(text, [f.name for f in fields(Row)], delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(row) for row in rows)
    return text.getvalue()


def to_table(rows: Sequence[Row]) -> Table:
    """How many samples are in which state; the note has the reason of each that is not in the corpus. No costs."""
    states: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        states[row.state, row.stage].append(row)
    without = [row for row in rows if row.reason]
    return Table(
        title="Samples",
        columns=("state", "stage", "samples", "cells", "for example"),
        rows=tuple(
            (*key, len(found), sum(row.cells or 0 for row in found), found[0].reason and _said(found[0]))
            for key, found in sorted(states.items(), key=lambda item: (item[0][0] != "ok", item[0]))
        ),
        note=" ".join(map(_said, without)) or "Every sample is in.",
    )


def _said(row: Row) -> str:
    return f"{row.sample}: {row.reason}"


def _row(sample: str, study: str, results: Path) -> Row:
    path = results / "counts" / sample / OUTCOME_FILE
    costs = _costs(sample, results)
    if not path.exists():
        return Row(sample, study, "", PENDING, "not run to its end yet", None, *costs)
    outcome = read_outcome(path)
    cells, about = None, _totals(results / "totals" / f"{sample}.feather")
    if outcome.state == "ok" and about.get("reason"):
        outcome = refusal_at(results / "doublets" / sample / OUTCOME_FILE) or outcome
    reason = outcome.reason
    if outcome.state == "ok":
        figures = about.get("figures", {})
        cells = figures.get("cells")
        if cells == 0:
            cuts = "".join(f", {name} {bound}" for name, bound in about["cuts"].items())
            reason = f"none of its {figures['cells_in']} cells has {about['min_counts']} spliced counts{cuts}"
    # Rows that came above it, or a stricter limit, do not take away what is counted.
    if outcome.state == "ok" and (twin := refusal_at(results / "understood" / sample / "duplicates.json")):
        reason = f"{twin.reason} It was counted before and stays in the corpus."
    return Row(sample, study, outcome.stage, outcome.state, reason, cells, *costs)


def _totals(path: Path) -> dict[str, Any]:
    """What a sample's totals say of it; nothing before they are made."""
    if not path.exists():
        return {}
    with pa.memory_map(str(path)) as file:
        return schema.metadata_of(pa.ipc.open_file(file).schema) or {}


def _costs(sample: str, results: Path) -> tuple[float, float, float]:
    """Seconds, CPU seconds and largest resident memory (MB) over a sample's benchmark files."""
    lines: list[dict[str, str]] = []
    for pattern in (f"*/{sample}.tsv", f"*/{sample}/*.tsv"):
        for path in (results / "benchmarks").glob(pattern):
            with path.open(newline="") as handle:
                lines += csv.DictReader(handle, delimiter="\t")
    seconds, cpu, memory = ([_number(line.get(key)) for line in lines] for key in ("s", "cpu_time", "max_rss"))
    return round(sum(seconds), 1), round(sum(cpu), 1), round(max(memory, default=0.0), 1)


def _number(text: str | None) -> float:
    """A job that ends within a sampling interval has no figure but `-` or `NA`."""
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
