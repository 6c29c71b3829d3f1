"""Counts of other tools, each in its own dialect, as our three layers.

What each tool calls things stays in its reader here:

- velocyto loom: genes × cells, row attribute `Accession`, `CellID` = `sample:BARCODEx`.
- h5ad: layers `spliced`, `unspliced`, `ambiguous` (kb's `mature`, `nascent`, `ambiguous` are understood); X is ignored.
- STARsolo: `Solo.out/Velocyto/{raw,filtered}` with one matrix a layer, or the older single `matrix.mtx` with three
  values an entry.
- kb (nac): `counts_unfiltered` with `cells_x_genes.{mature,nascent,ambiguous}.mtx` or `adata.h5ad`. In kb, `ambiguous`
  means "exonic, so either", and almost all of it is mature RNA: spliced = mature + ambiguous, unspliced = nascent,
  and our ambiguous layer is absent.
- A folder of `spliced.mtx`, `unspliced.mtx` (and `ambiguous.mtx`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.counting.tables import read_matrix_market
from velocorpus.errors import UserMistake
from velocorpus.files import existing, open_text

KB_RULE = "spliced = mature + ambiguous, unspliced = nascent; kb's ambiguous is exonic RNA of either kind"
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
    notes: dict[str, Any] = field(default_factory=dict)


def read_any(path: Path | str) -> Imported:
    """Read counts of a kind that is told from the path: a loom, an h5ad, or a STARsolo, kb or mtx folder."""
    path = existing(path, "counts")
    if path.is_dir():
        for fits, read in _FOLDERS:
            inner = fits(path)
            if inner is not None:
                return read(inner)
    elif path.suffix == ".loom":
        return read_loom(path)
    elif path.suffix == ".h5ad":
        return read_h5ad(path)
    raise UserMistake(
        f"{path} is of no kind that can be imported; allowed: a .loom, an .h5ad with layers, a STARsolo Solo.out"
        " folder, a kb output folder, or a folder with spliced.mtx and unspliced.mtx."
    )


def read_loom(path: Path) -> Imported:
    """velocyto's loom, transposed to cells × genes."""
    import loompy

    try:
        connection = loompy.connect(str(path), mode="r", validate=False)
    except OSError as error:
        raise UserMistake(f"{path} cannot be read as loom ({error}); make it again.") from None
    with connection as loom:
        rows, columns = set(loom.ra.keys()), set(loom.ca.keys())
        cell_key = next((key for key in ("CellID", "obs_names") if key in columns), None)
        gene_key = next((key for key in ("Accession", "Gene", "var_names") if key in rows), None)
        if cell_key is None or gene_key is None:
            raise UserMistake(
                f"{path} has no column attribute CellID or no row attribute Accession or Gene (found"
                f" {sorted(columns)} and {sorted(rows)}); velocyto's loom files have them."
            )
        present = [layer for layer in names.LAYERS if layer in loom.layers]
        _need_layers(path, present, [name for name in loom.layers if name])
        layers = {layer: sparse.csr_matrix(loom.layers[layer].sparse().T) for layer in present}
        cells = _without_sample([str(cell) for cell in loom.ca[cell_key]])
        genes = tuple(str(gene) for gene in loom.ra[gene_key])
        symbols = tuple(str(gene) for gene in loom.ra["Gene"]) if "Gene" in rows else None
        others = sorted(columns - {cell_key})
        obs = pd.DataFrame({key: np.asarray(loom.ca[key]) for key in others if np.ndim(loom.ca[key]) == 1})
        version = str(loom.attrs.get("velocyto.__version__", "") or "")
    return Imported(layers, cells, genes, symbols, None, "velocyto", version, obs if others else None)


def read_h5ad(path: Path) -> Imported:
    """An AnnData's layers; X is ignored, the columns of obs are kept for labels."""
    adata = read_anndata(path)
    if {"mature", "nascent"} <= set(adata.layers) and names.SPLICED not in adata.layers:
        return _from_kb_layers(
            {layer: adata.layers[layer] for layer in ("mature", "nascent", "ambiguous") if layer in adata.layers},
            adata.obs_names, adata.var_names, path, adata.var.get("gene_name"),
        )  # fmt: skip
    present = [layer for layer in names.LAYERS if layer in adata.layers]
    _need_layers(path, present, list(adata.layers))
    cells = tuple(map(str, adata.obs_names))
    symbol = next((key for key in (names.SYMBOL, "gene_name", "gene_symbols") if key in adata.var), None)
    return Imported(
        layers={layer: sparse.csr_matrix(adata.layers[layer]) for layer in present},
        # Our own files name cells `sample:barcode`; the importer gives them their sample anew.
        cells=_without_sample(cells) if names.UNS in adata.uns else cells,
        genes=tuple(map(str, adata.var_names)),
        symbols=None if symbol is None else tuple(map(str, adata.var[symbol])),
        versions=tuple(map(str, adata.var[names.VERSION])) if names.VERSION in adata.var else None,
        quantifier="h5ad",
        obs=adata.obs.reset_index(drop=True),
    )


def read_starsolo(folder: Path) -> Imported:
    """A `Velocyto/raw` or `Velocyto/filtered` folder of STARsolo."""
    features = _table(_one_of(folder, "features.tsv", "features.tsv.gz"))
    cells = _column(_table(_one_of(folder, "barcodes.tsv", "barcodes.tsv.gz")))
    if (folder / "spliced.mtx").exists() or (folder / "spliced.mtx.gz").exists():
        layers = {
            layer: read_matrix_market(_one_of(folder, f"{layer}.mtx", f"{layer}.mtx.gz")) for layer in names.LAYERS
        }
    else:
        layers = _three_valued_matrix(_one_of(folder, "matrix.mtx", "matrix.mtx.gz"))
    return Imported(
        layers={layer: sparse.csr_matrix(matrix.T) for layer, matrix in layers.items()},
        cells=cells,
        genes=_column(features),
        symbols=tuple(row[1] if len(row) > 1 else row[0] for row in features),
        versions=None,
        quantifier="starsolo",
    )


def read_kb(folder: Path) -> Imported:
    """A `counts_unfiltered` folder of kb's nac workflow: the matrices, or `adata.h5ad` where they are missing."""
    if not (folder / "cells_x_genes.mature.mtx").exists():
        return read_h5ad(folder / "adata.h5ad")
    layers = {
        layer: read_matrix_market(folder / f"cells_x_genes.{layer}.mtx")
        for layer in ("mature", "nascent", "ambiguous")
        if (folder / f"cells_x_genes.{layer}.mtx").exists()
    }
    cells = _column(_table(_one_of(folder, "cells_x_genes.barcodes.txt")))
    genes = _column(_table(_one_of(folder, "cells_x_genes.genes.txt")))
    named = folder / "cells_x_genes.genes.names.txt"
    symbols = pd.Series(_column(_table(named))) if named.exists() else None
    return _from_kb_layers(layers, cells, genes, folder, symbols)


def read_mtx_folder(folder: Path) -> Imported:
    """A folder with spliced.mtx and unspliced.mtx; turned to cells × genes where the names say so."""
    cells = _column(_table(_one_of(folder, "barcodes.tsv", "barcodes.tsv.gz", "barcodes.txt", "cells.txt")))
    features = _table(_one_of(folder, "features.tsv", "features.tsv.gz", "genes.tsv", "genes.tsv.gz", "genes.txt"))
    shape = (len(cells), len(features))
    layers = {}
    for layer in names.LAYERS:
        if layer == names.AMBIGUOUS and not any(folder.glob("ambiguous.mtx*")):
            continue
        matrix = read_matrix_market(_one_of(folder, f"{layer}.mtx", f"{layer}.mtx.gz"))
        if shape[0] == shape[1]:
            raise UserMistake(
                f"{folder} has as many cells as genes ({shape[0]}), so rows can't be told from columns;"
                " give an h5ad instead."
            )
        layers[layer] = sparse.csr_matrix(matrix.T) if matrix.shape == shape[::-1] else matrix
    return Imported(
        layers=layers,
        cells=cells,
        genes=_column(features),
        symbols=tuple(row[1] for row in features) if len(features[0]) > 1 else None,
        versions=None,
        quantifier="mtx",
    )


def bare_barcodes(cells: Sequence[str]) -> tuple[str, ...]:
    """Barcodes without 10x's `-1` or velocyto's `x`, where that is what they end in and none becomes another's."""
    bare = tuple(match[1] if (match := _TENX_SUFFIX.fullmatch(cell)) else cell for cell in cells)
    return bare if len(set(bare)) == len(set(cells)) else tuple(cells)


def _without_sample(cells: Sequence[str]) -> tuple[str, ...]:
    """`sample:BARCODE` → `BARCODE`, when all cells are of one sample."""
    samples = {cell.rpartition(":")[0] for cell in cells}
    return tuple(cell.rpartition(":")[2] for cell in cells) if len(samples) == 1 else tuple(cells)


def _from_kb_layers(
    layers: Mapping[str, Any], cells: Sequence[str], genes: Sequence[str], path: Path, symbols: Any
) -> Imported:
    missing = {"mature", "nascent", "ambiguous"} - set(layers)
    if missing:
        raise UserMistake(
            f"{path} has no kb matrix '{min(missing)}'; count with `kb count --workflow nac`, which writes mature,"
            " nascent and ambiguous."
        )
    return Imported(
        layers={
            names.SPLICED: sparse.csr_matrix(layers["mature"]) + sparse.csr_matrix(layers["ambiguous"]),
            names.UNSPLICED: sparse.csr_matrix(layers["nascent"]),
        },
        cells=tuple(map(str, cells)),
        genes=tuple(map(str, genes)),
        symbols=None if symbols is None else tuple(map(str, symbols)),
        versions=None,
        quantifier="kb",
        notes={"kb_rule": KB_RULE},
    )


def _three_valued_matrix(path: Path) -> dict[str, sparse.csr_matrix]:
    """STARsolo's older layout: one entry a line with row, column, spliced, unspliced, ambiguous."""
    with open_text(path) as lines:
        text = [line for line in lines if not line.startswith("%")]
    shape = tuple(map(int, text[0].split()[:2]))
    entries = np.loadtxt(text[1:], dtype=np.int64, ndmin=2)
    if entries.size and entries.shape[1] != 2 + len(names.LAYERS):
        raise UserMistake(
            f"{path} has {entries.shape[1]} columns, STARsolo's Velocyto matrix has 5 (gene, cell, spliced,"
            " unspliced, ambiguous)."
        )
    entries = entries.reshape(-1, 2 + len(names.LAYERS))
    place = (entries[:, 0] - 1, entries[:, 1] - 1)
    return {layer: sparse.csr_matrix((entries[:, 2 + i], place), shape=shape) for i, layer in enumerate(names.LAYERS)}


def _starsolo_folder(path: Path) -> Path | None:
    """The Velocyto matrices under `path`: filtered where STARsolo called cells, else raw."""
    here = [path] if path.parent.name == "Velocyto" else []
    under = [root / kind for root in _solo_roots(path) for kind in ("filtered", "raw")]
    for folder in (*here, *under):
        if any(folder.glob("spliced.mtx*")) or any(folder.glob("matrix.mtx*")):
            return folder
    return None


def _solo_roots(path: Path) -> list[Path]:
    roots = [path, path / "Velocyto", path / "Solo.out" / "Velocyto"]
    return [root for root in roots if root.name == "Velocyto"]


def _kb_folder(path: Path) -> Path | None:
    for folder in (path, path / "counts_unfiltered", path / "counts_filtered"):
        if (folder / "cells_x_genes.mature.mtx").exists() or (folder / "adata.h5ad").exists():
            return folder
    return None


def _mtx_folder(path: Path) -> Path | None:
    return path if any(path.glob("spliced.mtx*")) else None


def _need_layers(path: Path, present: Sequence[str], found: Sequence[str]) -> None:
    for layer in (names.SPLICED, names.UNSPLICED):
        if layer not in present:
            raise UserMistake(
                f"{path} has no layer '{layer}' (found: {', '.join(sorted(found)) or 'none'}); velocity needs"
                " spliced and unspliced."
            )


def _one_of(folder: Path, *candidates: str) -> Path:
    for name in candidates:
        if (folder / name).exists():
            return folder / name
    raise UserMistake(f"{folder} has no {' or '.join(candidates)}; give the whole folder as the tool left it.")


def _table(path: Path) -> list[list[str]]:
    with open_text(path) as lines:
        return [line.rstrip("\r\n").split("\t") for line in lines if line.strip()]


def _column(table: list[list[str]]) -> tuple[str, ...]:
    return tuple(row[0] for row in table)


_FOLDERS: tuple[tuple[Callable[[Path], Path | None], Callable[[Path], Imported]], ...] = (
    (_starsolo_folder, read_starsolo),
    (_kb_folder, read_kb),
    (_mtx_folder, read_mtx_folder),
)
