"""A table of results: the one form in which every evaluation hands on its figures."""

from dataclasses import asdict, dataclass
from pathlib import Path

from velocorpus.files import read_json, write_json

Value = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A titled table with a note that says how to read it; `None` is a cell that does not apply."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    note: str = ""

    def write(self, path: Path | str) -> None:
        """Write the table as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path | str) -> "Table":
        """Read a table that `write` wrote."""
        value = read_json(path)
        return cls(value["title"], tuple(value["columns"]), tuple(map(tuple, value["rows"])), value["note"])

    def to_text(self) -> str:
        """The table for a terminal: columns aligned, numbers to three significant places, below 1e-6 as 0."""
        cells = [list(self.columns), *([_show(value) for value in row] for row in self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        return "\n".join([self.title, "-" * len(self.title), *lines, *([self.note] if self.note else [])])


def _show(value: Value) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) >= 1e-6 else "0"  # rounding errors of a constant's correlation
