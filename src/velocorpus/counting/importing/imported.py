"""What every reader of another tool's counts hands on, and what the readers share."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import open_text

_TENX_SUFFIX = re.compile(r"([ACGTN]{8,})(-\d+|x)$")


@dataclass(frozen=True, eq=False)
class Imported:
    """Counts as another tool left them: cells × genes per layer, names not yet mapped."""

    layers: Mapping[str, sparse.csr_matrix]
    cells: tuple[str, ...]
    genes: tuple[str, ...]
    symbols: tuple[str, ...] | None
    versions: tuple[str, ...] | None
    quantifier: str
    quantifier_version: str = ""
    obs: pd.DataFrame | None = None
    cells_called_by: str = ""  # by which method these barcodes are cells, where the input says so
    notes: dict[str, Any] = field(default_factory=dict)


def bare_barcodes(cells: Sequence[str]) -> tuple[str, ...]:
    """Barcodes without 10x's `-1` or velocyto's `x`, where that is what they end in and none becomes another's."""
    bare = tuple(match[1] if (match := _TENX_SUFFIX.fullmatch(cell)) else cell for cell in cells)
    return bare if len(set(bare)) == len(set(cells)) else tuple(cells)


def without_sample(cells: Sequence[str]) -> tuple[str, ...]:
    """`sample:BARCODE` → `BARCODE`, when all cells are of one sample."""
    samples = {cell.rpartition(":")[0] for cell in cells}
    return tuple(cell.rpartition(":")[2] for cell in cells) if len(samples) == 1 else tuple(cells)


def need_layers(path: Path, present: Sequence[str], found: Sequence[str]) -> None:
    """Refuse counts without a spliced or an unspliced layer; `found` is what the input has instead."""
    for layer in (names.SPLICED, names.UNSPLICED):
        if layer not in present:
            raise UserMistake(
                f"{path} has no layer '{layer}' (found: {', '.join(sorted(found)) or 'none'}); velocity needs"
                " spliced and unspliced."
            )


def find_one(folder: Path, *candidates: str) -> Path | None:
    """The first of these files that `folder` has, plain or gzip."""
    return next(
        (p for name in candidates for p in (folder / name, folder / f"{name}.gz") if p.exists()),
        None,
    )


def one_of(folder: Path, *candidates: str) -> Path:
    """The same; none of them is refused."""
    found = find_one(folder, *candidates)
    if found is None:
        raise UserMistake(f"{folder} has no {' or '.join(candidates)}; give the whole folder as the tool left it.")
    return found


def read_rows(path: Path) -> list[list[str]]:
    """The lines of a tab-separated file without a header, plain or gzip."""
    with open_text(path) as lines:
        return [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]


def first_column(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The first value of every row."""
    return tuple(row[0] for row in rows)
