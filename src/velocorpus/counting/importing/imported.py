"""What every reader of another tool's counts hands on, and what the readers share."""

import io
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import open_bytes, open_text

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


def check_shapes(path: Path | str, layers: Mapping[str, Any], cells: Sequence[str], genes: Sequence[str]) -> None:
    """Refuse layers that are not cells × genes."""
    shape = (len(cells), len(genes))
    for layer, matrix in layers.items():
        if matrix.shape != shape:
            raise UserMistake(
                f"{path}: layer '{layer}' is {matrix.shape[0]} × {matrix.shape[1]}, the names say {shape[0]} cells ×"
                f" {shape[1]} genes; the files are not of one run."
            )


def refuse_twice(path: Path | str, cells: Sequence[str]) -> None:
    """Refuse barcodes of which one names two cells."""
    if len(set(cells)) < len(cells):
        twice = Counter(cells).most_common(1)[0][0]
        raise UserMistake(f"{path} names the barcode {twice} twice; give every cell a barcode of its own.")


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


def read_matrix_market(path: Path) -> sparse.csr_matrix:
    """A Matrix Market file, plain or gzip, as CSR, float64 whatever its header says.

    SciPy reads 1.5 in a file of `integer` as 1, so that nobody would see that the counts are no counts.
    """
    from scipy.io import mmread

    text = io.BytesIO()
    with open_bytes(path) as content:
        text.write(content.readline().replace(b" integer", b" real"))
        shutil.copyfileobj(content, text)
    text.seek(0)
    try:
        return sparse.csr_matrix(mmread(text))
    except (ValueError, OverflowError) as error:
        raise UserMistake(f"{path} cannot be read as a Matrix Market file ({error}); make it again.") from None


def first_column(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The first value of every row."""
    return tuple(row[0] for row in rows)
