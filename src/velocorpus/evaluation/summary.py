"""What a run is told by: the table of the corpus, the loss curves, and all tables as text or as one HTML page."""

import html
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from velocorpus import names
from velocorpus.corpus.vocabulary import read_table
from velocorpus.errors import UserMistake
from velocorpus.evaluation.table import Table, Value
from velocorpus.files import open_text, read_json, replacing
from velocorpus.outcomes.outcome import Outcome, refusal_at

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em;max-width:70em}table{border-collapse:collapse;margin:.5em 0}"
    "th,td{padding:.2em .8em;text-align:right;border-bottom:1px solid #ddd}"
    "th:first-child,td:first-child{text-align:left}"
    "p{color:#555}"
)

MEAN = "mean"  # the row of a table of studies that stands for all of them
# Columns that a reader at the terminal can do without.
PAGE_ONLY = {
    *("against", "genes", "n_genes", "n_cells", "cells_missing", "cells_extra", "genes_missing"),
    *("cells before filter", *(f"{layer} / cell" for layer in names.LAYERS)),
    *("MAE hidden", "MSE shown", "MAE shown", "Pearson per cell", "variance ratio"),
    *("cosine rescaled", "cosine, scVelo's genes", "z-scaled, scVelo's genes"),
    *("energy distance", "sliced Wasserstein"),
}
PAGE_ONLY_TABLES = {"Genes that differ most"}


def corpus_table(corpus: Path | str) -> Table:
    """Cells, studies, genes and bytes per cell of a corpus, per split; read from its manifest and its samples."""
    folder = Path(corpus)
    manifest = read_json(folder / "manifest.json")
    samples = read_table(folder / "samples.feather", "table of samples").to_pylist()
    rows: list[tuple[Value, ...]] = []
    for split in (*names.SPLITS, "all"):
        chosen = [row for row in samples if split in (row["split"], "all")]
        shards = [shard for shard in manifest["shards"] if split in (shard["split"], "all") and shard["rows"]]
        n_cells = sum(row["cells"] for row in chosen)
        n_bytes = sum(shard["bytes"] for shard in shards)
        rows.append(
            (
                split,
                len({row[names.STUDY] for row in chosen}),
                len(chosen),
                sum(row["cells_in"] for row in chosen),
                n_cells,
                *(
                    round(sum(row[names.total_of(layer)] for row in chosen) / n_cells, 1) if n_cells else None
                    for layer in names.LAYERS
                ),
                round(n_bytes / n_cells) if n_cells else None,
            )
        )
    tools = Counter(row["quantifier"] for row in samples)
    missing = manifest["missing"]
    counted_by = ", ".join(f"{tool or 'unknown'} ({n})" for tool, n in tools.items())
    refused = f"{len(missing)} samples refused: {', '.join(missing)}." if missing else "No sample refused."
    return Table(
        title="Corpus",
        columns=(
            "split",
            "studies",
            "samples",
            "cells before filter",
            "cells",
            *(f"{layer} / cell" for layer in names.LAYERS),
            "bytes / cell",
        ),
        rows=tuple(rows),
        note=(
            f"{manifest['vocabulary']['genes']} genes, {manifest['genes_kept']} of them kept by the filter; "
            f"counts by {counted_by}. {refused}"
        ),
    )


def loss_curves(metrics: Sequence[Path], out: Path | str) -> None:
    """One panel a model: loss per step in training and on held-out cells, from `metrics.jsonl` of each model folder."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(metrics), figsize=(3.6 * len(metrics), 3.2), squeeze=False, layout="constrained")
    for axis, path in zip(axes[0], metrics, strict=True):
        steps = _steps(path)
        for split, style in (
            ("train", {"alpha": 0.6, "linewidth": 1}),
            ("validation", {"marker": "o", "markersize": 4}),
        ):
            points = [(row["step"], row["loss"]) for row in steps if row.get("split") == split and "loss" in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=split, **style)
        judged = [row for row in steps if row.get("split") == "validation" and "loss" not in row]
        if judged:
            metric = next(key for key in judged[0] if key not in ("step", "split"))
            other = axis.twinx()
            other.plot([r["step"] for r in judged], [r[metric] for r in judged], "o-", color="tab:orange", markersize=4)
            other.set_ylabel(f"validation {metric}", color="tab:orange")
        axis.set(title=Path(path).parent.name, xlabel="step", ylabel="loss")
        axis.legend(frameon=False)
    with replacing(out) as aside:
        figure.savefig(aside, metadata={"Date": None} if aside.suffix == ".svg" else None)
    plt.close(figure)


def _steps(path: Path) -> list[dict[str, Any]]:
    with open_text(path) as lines:
        try:
            steps = [json.loads(line) for line in lines]
        except json.JSONDecodeError as error:
            raise UserMistake(f"{path} is not JSON lines ({error}); give a model's metrics.jsonl.") from None
    if not any(isinstance(step, dict) and "loss" in step for step in steps):
        raise UserMistake(f"{path} has no line with a loss; give a model's metrics.jsonl.")
    return steps


def to_text(tables: Sequence[Table]) -> str:
    """The columns that matter of every table, one below the other, for a terminal; notes are on the page."""
    return "\n\n".join(_short(table).to_text() for table in tables if table.title not in PAGE_ONLY_TABLES) + "\n"


def to_html(tables: Sequence[Table]) -> str:
    """Every table on one page that needs no other file."""
    parts = []
    for table in tables:
        head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(_cell(value))}</td>" for value in row) + "</tr>" for row in table.rows
        )
        parts.append(
            f"<h2>{html.escape(table.title)}</h2><table><tr>{head}</tr>{body}</table><p>{html.escape(table.note)}</p>"
        )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>velocorpus</title><style>{STYLE}</style>'
        f"{''.join(parts)}</html>\n"
    )


def read_tables(paths: Sequence[Path]) -> list[Table]:
    """The tables of several files, in the order given; a file that is no table is refused, one that was not made said.

    Tables of one kind (same title and columns) become one, whose first column is the name of each row's file.
    """
    found: dict[tuple[str, tuple[str, ...]], list[tuple[Path, Table]]] = {}
    for path in paths:
        refusal = refusal_at(path)
        try:
            table = _not_compared(refusal) if refusal else Table.read(path)
        except (KeyError, TypeError):
            raise UserMistake(f"{path} is not a table of results; make it again by `velocorpus evaluate`.") from None
        found.setdefault((table.title, table.columns), []).append((path, table))
    return [members[0][1] if len(members) == 1 else _joined(members) for members in found.values()]


def _not_compared(refusal: Outcome) -> Table:
    return Table("Not compared", ("set aside", "why"), ((refusal.sample, refusal.reason),))


def _joined(members: Sequence[tuple[Path, Table]]) -> Table:
    first = members[0][1]
    rows = tuple((path.stem, *row) for path, table in members for row in table.rows)
    return Table(first.title, ("sample", *first.columns), rows, first.note)


def _short(table: Table) -> Table:
    """Without the columns that only the page shows; of a table with means over studies, the means."""
    means = [row for row in table.rows if "study" in table.columns and row[table.columns.index("study")] == MEAN]
    shown = {column for column in table.columns if column not in PAGE_ONLY and not (means and column == "study")}
    if "against" in table.columns and len({row[table.columns.index("against")] for row in table.rows}) > 1:
        shown.add("against")  # without a truth every count is held against each other one
    places = [i for i, column in enumerate(table.columns) if column in shown]
    rows = tuple(tuple(row[i] for i in places) for row in means or table.rows)
    return Table(table.title, tuple(table.columns[i] for i in places), rows)


def _cell(value: Value) -> str:
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
