"""STARsolo's `Solo.out/Velocyto/{raw,filtered}`, genes × cells.

One matrix a layer, or the older single `matrix.mtx` with three values an entry.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.imported import (
    Imported,
    find_one,
    first_column,
    one_of,
    read_matrix_market,
    read_rows,
)
from velocorpus.counting.raw import check_raw
from velocorpus.errors import UserMistake
from velocorpus.files import open_text


def starsolo_folder(path: Path) -> Path | None:
    """The Velocyto matrices under `path`: filtered where STARsolo called cells, else raw."""
    roots = [root for root in (path, path / "Velocyto", path / "Solo.out" / "Velocyto") if root.name == "Velocyto"]
    here = [path] if path.parent.name == "Velocyto" else []
    for folder in (*here, *(root / kind for root in roots for kind in ("filtered", "raw"))):
        if find_one(folder, "spliced.mtx", "matrix.mtx"):
            return folder
    return None


def read_starsolo(folder: Path) -> Imported:
    """A `Velocyto/raw` or `Velocyto/filtered` folder of STARsolo."""
    features = read_rows(one_of(folder, "features.tsv"))
    cells = first_column(read_rows(one_of(folder, "barcodes.tsv")))
    if find_one(folder, "spliced.mtx"):
        layers = {layer: read_matrix_market(one_of(folder, f"{layer}.mtx")) for layer in names.LAYERS}
    else:
        layers = _three_valued_matrix(one_of(folder, "matrix.mtx"))
    version, cell_filter = _told_by_log(folder)
    return Imported(
        layers={layer: sparse.csr_matrix(matrix.T) for layer, matrix in layers.items()},
        cells=cells,
        genes=first_column(features),
        symbols=tuple(row[1] if len(row) > 1 else row[0] for row in features),
        versions=None,
        quantifier="starsolo",
        quantifier_version=version,
        cells_called_by=f"STARsolo's --soloCellFilter {cell_filter}, on Gene" if folder.name == "filtered" else "",
    )


def _three_valued_matrix(path: Path) -> dict[str, sparse.csr_matrix]:
    """STARsolo's older layout: one entry a line with row, column, spliced, unspliced, ambiguous."""
    try:
        with open_text(path) as lines:
            n_genes, n_cells, n_entries = map(int, next(line for line in lines if not line.startswith("%")).split())
            columns = ["gene", "cell", *names.LAYERS]
            table = pd.read_csv(lines, sep=" ", header=None, names=columns, dtype=np.float64, index_col=False)
        entries = table.to_numpy().reshape(n_entries, len(columns))
        check_raw(entries, str(path))
        entries = entries.astype(np.int64)
        place = (entries[:, 0] - 1, entries[:, 1] - 1)
        return {
            layer: sparse.csr_matrix((entries[:, 2 + i], place), shape=(n_genes, n_cells))
            for i, layer in enumerate(names.LAYERS)
        }
    except UserMistake:
        raise
    except (ValueError, StopIteration) as error:
        raise UserMistake(
            f"{path} cannot be read as STARsolo's Velocyto matrix ({error}): after its header every line has 5 whole"
            " numbers (gene, cell, spliced, unspliced, ambiguous); copy it or make it again."
        ) from None


def _told_by_log(folder: Path) -> tuple[str, str]:
    """STAR's version and its filter of cells with all figures, from the run's Log.out where it lies above Solo.out."""
    solo = folder.resolve().parent.parent
    log = solo.parent / f"{solo.name.removesuffix('Solo.out')}Log.out"
    text = log.read_text(errors="replace") if log.is_file() else ""
    version = re.search(r"STAR version=(\S+)", text)
    found = re.search(r"soloCellFilterType (\S+) filtering parameters:(.*)", text)
    return version[1] if version else "", " ".join([found[1], *found[2].split()]) if found else "of that run"
