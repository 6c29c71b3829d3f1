"""Figures of the tables (matplotlib, Agg)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from velocorpus.errors import UserMistake
from velocorpus.evaluation.table import Table
from velocorpus.files import open_text, parse_json, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def bars(
    table: Table, path: Path | str, *, label: str, values: Sequence[str], where: dict[str, str], title: str
) -> None:
    """One panel per column of `values`, one bar per row that has the values of `where`; `label` names the bars."""
    from matplotlib.figure import Figure

    at = {name: i for i, name in enumerate(table.columns)}
    rows = [row for row in table.rows if all(row[at[k]] == v for k, v in where.items())]
    figure = Figure(figsize=(3.2 * len(values) + 2, 0.35 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    names = [str(row[at[label]]) for row in rows]
    for axis, column in zip(axes, values, strict=True):
        lengths = [float(value) if isinstance(value := row[at[column]], int | float) else 0.0 for row in rows]
        axis.barh(
            range(len(rows)), lengths, color=["#c44e52" if n.startswith("velocorpus") else "#8c8c8c" for n in names]
        )
        for i, length in enumerate(lengths):
            axis.text(max(length, 0), i, f" {length:.3g}", va="center", fontsize=8)
        axis.set_xlabel(column)
        axis.margins(x=0.2)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(range(len(rows)), names)
    axes[0].invert_yaxis()
    figure.suptitle(title, fontsize=10)
    save(figure, path)


def metric_panels(metrics: Path | str, path: Path | str) -> None:
    """One panel for each metric of a model's `metrics.jsonl`: a line of the training steps, dots of the validations."""
    from matplotlib.figure import Figure

    with open_text(metrics) as lines:
        rows = [parse_json(line, metrics) for line in lines]
    names = sorted({name for row in rows for name, value in row.items() if isinstance(value, float)})
    if not names:
        raise UserMistake(f"{metrics} has no metrics; give a model's metrics.jsonl.")
    figure = Figure(figsize=(12, 2.2 * -(-len(names) // 4)), layout="constrained")
    for i, name in enumerate(names):
        axis = figure.add_subplot(-(-len(names) // 4), 4, i + 1)
        for split, style in (("train", {"color": "#8c8c8c", "linewidth": 1}), ("validation", {"marker": "o"})):
            points = [(row["step"], row[name]) for row in rows if row.get("split") == split and name in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=split, markersize=3, **style)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=7)
    save(figure, path)


def save(figure: "Figure", path: Path | str) -> None:
    """Write a figure without its date, so that equal figures are equal bytes."""
    path = Path(path)
    kind = path.suffix.lstrip(".") or "png"
    metadata = {"Software": None} if kind == "png" else {"Date": None} if kind == "svg" else None
    with replacing(path) as aside:
        figure.savefig(aside, format=kind, dpi=150, metadata=metadata)
