"""The three tables written, or extended without a word of what is there being changed."""

import csv
from dataclasses import fields
from pathlib import Path

from velocorpus import files, tables
from velocorpus.errors import UserMistake
from velocorpus.reads.resolve_rows import RUN_COLUMNS, Resolved, Row


def append(
    path: Path, rows: list[Row], key: tuple[str, ...], fixed: tuple[str, ...], *, replace: bool = False
) -> list[Row]:
    """The rows of a table that is there, then the new ones; a row that is there stays as it was edited.

    `fixed` columns must agree where both say something, else `UserMistake`. With `replace` a new row takes the place of
    an old one.
    """
    with files.open_text(path) as text:
        old = [
            {k: v or "" for k, v in row.items()} for row in csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    known = {tuple(row.get(column, "") for column in key): row for row in old}
    for row in rows:
        name = tuple(row.get(column, "") for column in key)
        there = known.get(name)
        if there is None:
            known[name] = row
            continue
        for column in () if replace else fixed:
            before, now = there.get(column, ""), row.get(column, "")
            if before and now and before != now:
                raise UserMistake(
                    f"{path}: {' '.join(name)} stands there with {column} '{before}', the archive now says '{now}'; "
                    "remove its row to take the new one, or leave it out of this call."
                )
        if replace:
            known[name] = row
    return list(known.values())


def write(resolved: Resolved, folder: Path, *, extend: bool) -> None:
    """Write samples.tsv, units.tsv and runs.tsv into `folder`; tables that are there are extended, or refused."""
    there = [name for name in ("samples.tsv", "units.tsv", "runs.tsv") if (folder / name).exists()]
    if there and not extend:
        raise UserMistake(f"{folder / there[0]} is there already; give --append to extend it, or another folder.")
    plans = {
        "samples.tsv": (resolved.samples, ("sample",), ("study", "organism", "experiment", "run", "biosample"), False),
        "units.tsv": (resolved.units, ("sample", "unit"), ("read1", "read2", "path", "read1_md5", "read2_md5"), False),
        "runs.tsv": (resolved.runs, ("run", "experiment"), (), True),
    }
    order = {
        "samples.tsv": [column.name for column in fields(tables.Sample)],
        "units.tsv": [column.name for column in fields(tables.Unit)],
        "runs.tsv": list(RUN_COLUMNS),
    }
    texts = {}
    for name, (rows, key, fixed, replace) in plans.items():
        rows = append(folder / name, rows, key, fixed, replace=replace) if name in there else rows
        used = {column for row in rows for column in row}
        # Columns that are always empty are left out, but for those that a table must have.
        columns = [
            c for c in order[name] if c in used and (c in key or _kept(name, c) or any(row.get(c) for row in rows))
        ]
        lines = [columns, *([row.get(column, "") for column in columns] for row in rows)]
        texts[name] = "".join("\t".join(line) + "\n" for line in lines)
    for name, text in texts.items():
        files.write_text(folder / name, text)


def _kept(table: str, column: str) -> bool:
    if table == "runs.tsv":
        return True
    kind = tables.Sample if table == "samples.tsv" else tables.Unit
    return any(one.name == column and one.metadata["required"] for one in fields(kind))
