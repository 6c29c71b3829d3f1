"""The three tables written, or extended without a word of what is there being changed."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from velocorpus import files, tables
from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.rows import RUN_COLUMNS, Resolved, Row

Key = tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """One table: its columns, those that are always written, those that name a row.

    `fixed`: those in which a row that is there must agree with a new one, where both say something. `renewed`: whether
    a new row takes the place of an old one.
    """

    name: str
    columns: tuple[str, ...]
    kept: tuple[str, ...]
    key: Key
    fixed: Key = ()
    renewed: bool = False


def _columns(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(one.name for one in fields(kind)), tuple(one.name for one in fields(kind) if one.metadata["required"])


SAMPLES = Plan(
    "samples.tsv", *_columns(tables.Sample), ("sample",), ("study", "organism", "experiment", "run", "biosample")
)
UNITS = Plan(
    "units.tsv", *_columns(tables.Unit), ("sample", "unit"), ("read1", "read2", "path", "read1_md5", "read2_md5")
)
RUNS = Plan("runs.tsv", RUN_COLUMNS, RUN_COLUMNS, ("run", "experiment"), renewed=True)


class Table:
    """A table that is there, line by line: comments and what was edited stay as they are."""

    def __init__(self, path: Path, plan: Plan):
        self.path, self.plan = path, plan
        self.header: list[str] = []
        self.lines: list[str | Row] = []
        with files.open_text(path) as text:
            for line in text.read().removeprefix("\ufeff").splitlines():
                if not line.strip() or line.startswith("#"):
                    self.lines.append(line)
                elif not self.header:
                    self.header = [name.strip() for name in line.split("\t")]
                else:
                    values = line.split("\t")
                    if any(values[len(self.header) :]):
                        raise UserMistake(
                            f"{path}: '{line[:60]}' has {len(values)} values for {len(self.header)} columns."
                        )
                    self.lines.append(dict(zip(self.header, values, strict=False)))
        if strange := [name for name in self.header if name not in plan.columns]:
            raise UserMistake(f"{path}: '{strange[0]}' is not a column; allowed are {', '.join(plan.columns)}.")
        self.rows: Mapping[Key, Row] = {self.key(line): line for line in self.lines if isinstance(line, dict)}

    def key(self, row: Row) -> Key:
        """What names a row."""
        return tuple(row.get(column, "").strip() for column in self.plan.key)

    def add(self, row: Row) -> None:
        """Add a row that is not there; one that is must not contradict it."""
        there = self.rows.get(self.key(row))
        if there is None:
            self.lines.append(row)
            return
        for column in self.plan.fixed:
            before, now = there.get(column, "").strip(), row.get(column, "")
            if before and now and before != now:
                raise UserMistake(
                    f"{self.path}: {' '.join(self.key(row))} stands there with {column} '{before}', the archive now "
                    f"says '{now}'; remove its row to take the new one, or leave it out of this call."
                )
        if self.plan.renewed:
            there.clear()
            there.update(row)


def tables_in(folder: Path, *, extend: bool) -> dict[Plan, Table]:
    """The tables that are there, to be extended; refused without `extend`."""
    if folder.exists() and not folder.is_dir():
        raise UserMistake(f"{folder} is a file; give a folder for the tables.")
    there = [plan for plan in (SAMPLES, UNITS, RUNS) if (folder / plan.name).exists()]
    if there and not extend:
        raise UserMistake(f"{folder / there[0].name} is there already; give --append to extend it, or another folder.")
    return {plan: Table(folder / plan.name, plan) for plan in there}


def write(resolved: Resolved, folder: Path, there: Mapping[Plan, Table]) -> None:
    """Write samples.tsv, units.tsv and runs.tsv into `folder`; those that are `there` are extended."""
    texts = {}
    for plan, rows in ((RUNS, resolved.runs), (UNITS, resolved.units), (SAMPLES, resolved.samples)):
        if plan is UNITS and SAMPLES in there:
            _complete(there[SAMPLES], there.get(UNITS), rows)
        table = there.get(plan)
        lines: list[str | Row] = [*rows]
        if table is not None:
            for row in rows:
                table.add(row)
            lines = table.lines
        filled = {column for line in lines if isinstance(line, dict) for column, value in line.items() if value}
        known = table.header if table else []
        # Columns that are always empty are left out, but for those that a table must have.
        columns = [*known, *(c for c in plan.columns if c not in known and (c in filled or c in plan.kept))]
        written = [
            one if isinstance(one, str) else "\t".join(one.get(column, "") for column in columns) for one in lines
        ]
        texts[folder / plan.name] = "\n".join(["\t".join(columns), *written, ""])
    # Samples last: after a kill in between, --append goes on from units without a sample, not from the reverse.
    for path, text in texts.items():
        files.write_text(path, text)


def _complete(samples: Table, units: Table | None, rows: list[Row]) -> None:
    """Refuse files that a sample which is there does not have: someone took them out, or they are new."""
    for row in rows:
        if (row["sample"],) in samples.rows and (units is None or units.key(row) not in units.rows):
            raise UserMistake(
                f"{samples.path}: {row['sample']} stands there without the unit {row['unit']}, which the archive has "
                "now; remove the sample's rows to take the new ones, or leave it out of this call."
            )
