"""Counts of other tools, each in its own dialect, as our three layers.

What each tool calls things stays in its reader here, in `h5ad` and in `alevin_fry`:

- velocyto loom: genes × cells, row attribute `Accession`, `CellID` = `sample:BARCODEx`.
- h5ad with layers: see `h5ad`. alevin-fry and simpleaf: see `alevin_fry`.
- STARsolo: `Solo.out/Velocyto/{raw,filtered}` with one matrix a layer, or the older single `matrix.mtx` with three
  values an entry.
- kb (nac): `counts_unfiltered` with `cells_x_genes.{mature,nascent,ambiguous}.mtx` or `adata.h5ad`. In kb, `ambiguous`
  means "exonic, so either", and almost all of it is mature RNA: spliced = mature + ambiguous, unspliced = nascent,
  and our ambiguous layer is absent.
- One matrix a layer: `spliced.mtx`, `unspliced.mtx` (and `ambiguous.mtx`) with names beside them, once or a layer
  (`spliced.barcodes.txt`, kb's older lamanno workflow), or a folder of 10x's files a layer (`spliced/matrix.mtx.gz`).
- 10x's own folder or .h5 of a gene-level matrix holds spliced and unspliced in one number and is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.alevin_fry import fry_folder, read_fry
from velocorpus.counting.importing.gene_tables import read_matrix_market
from velocorpus.counting.importing.h5ad import read_h5ad as _read_h5ad
from velocorpus.counting.importing.imported import (
    Imported,
    bare_barcodes,
    find_one,
    first_column,
    need_layers,
    one_of,
    read_rows,
    without_sample,
)
from velocorpus.errors import UserMistake
from velocorpus.files import existing, open_text

__all__ = ["Imported", "bare_barcodes", "read_any", "read_loom"]

KB_RULE = "spliced = mature + ambiguous, unspliced = nascent; kb's ambiguous is exonic RNA of either kind"


def read_any(path: Path | str) -> Imported:
    """Read counts of a kind that is told from the path: a loom, an h5ad, or a folder of one of the kinds above."""
    path = existing(path, "counts")
    if path.is_dir():
        for fits, read in _FOLDERS:
            inner = fits(path)
            if inner is not None:
                return read(inner)
    elif path.suffix == ".loom":
        return read_loom(path)
    elif path.name.endswith((".h5ad", ".h5ad.gz")):  # scBaseCount's first release named files compressed inside so
        return read_h5ad(path)
    elif path.suffix == ".h5":
        return _refuse_gene_level(path)
    raise UserMistake(
        f"{path} is of no kind that can be imported; allowed: a .loom, an .h5ad with layers, a STARsolo Solo.out"
        " folder, a kb or alevin-fry output folder, or a folder with spliced.mtx and unspliced.mtx."
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
        need_layers(path, present, [name for name in loom.layers if name])
        layers = {layer: sparse.csr_matrix(loom.layers[layer].sparse().T) for layer in present}
        cells = without_sample([str(cell) for cell in loom.ca[cell_key]])
        genes = tuple(str(gene) for gene in loom.ra[gene_key])
        symbols = tuple(str(gene) for gene in loom.ra["Gene"]) if "Gene" in rows else None
        others = sorted(columns - {cell_key})
        obs = pd.DataFrame({key: np.asarray(loom.ca[key]) for key in others if np.ndim(loom.ca[key]) == 1})
        version = str(loom.attrs.get("velocyto.__version__", "") or "")
    return Imported(layers, cells, genes, symbols, None, "velocyto", version, obs if others else None)


def read_h5ad(path: Path) -> Imported:
    """An AnnData's layers (see `h5ad`)."""
    return _read_h5ad(path, _from_kb_layers)


def read_starsolo(folder: Path) -> Imported:
    """A `Velocyto/raw` or `Velocyto/filtered` folder of STARsolo."""
    features = read_rows(one_of(folder, "features.tsv"))
    cells = first_column(read_rows(one_of(folder, "barcodes.tsv")))
    if (folder / "spliced.mtx").exists() or (folder / "spliced.mtx.gz").exists():
        layers = {layer: read_matrix_market(one_of(folder, f"{layer}.mtx")) for layer in names.LAYERS}
    else:
        layers = _three_valued_matrix(one_of(folder, "matrix.mtx"))
    return Imported(
        layers={layer: sparse.csr_matrix(matrix.T) for layer, matrix in layers.items()},
        cells=cells,
        genes=first_column(features),
        symbols=tuple(row[1] if len(row) > 1 else row[0] for row in features),
        versions=None,
        quantifier="starsolo",
        cells_called_by="STARsolo's filtered cells (--soloCellFilter of that run)" if folder.name == "filtered" else "",
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
    cells = first_column(read_rows(one_of(folder, "cells_x_genes.barcodes.txt")))
    genes = first_column(read_rows(one_of(folder, "cells_x_genes.genes.txt")))
    named = folder / "cells_x_genes.genes.names.txt"
    symbols = pd.Series(first_column(read_rows(named))) if named.exists() else None
    return _from_kb_layers(layers, cells, genes, folder, symbols)


def read_mtx_folder(folder: Path) -> Imported:
    """One matrix a layer; turned to cells × genes where the names say so. Layers with barcodes of their own are joined.

    Refused: layers of different genes, and as many cells as genes, where rows can't be told from columns.
    """
    found = {layer: part for layer in names.LAYERS if (part := _layer(folder, layer)) is not None}
    need_layers(folder, list(found), list(found))
    features = found[names.SPLICED][2]
    genes = first_column(features)
    cells = tuple(dict.fromkeys(cell for _, of_layer, _ in found.values() for cell in of_layer))
    row_of = {cell: row for row, cell in enumerate(cells)}
    layers = {}
    for layer, (matrix, of_layer, own_features) in found.items():
        if first_column(own_features) != genes:
            raise UserMistake(f"{folder}: its layers spliced and {layer} are not of the same genes; export them anew.")
        entries = matrix.tocoo()
        rows = np.array([row_of[cell] for cell in of_layer], dtype=np.int64)[entries.row]
        layers[layer] = sparse.csr_matrix((entries.data, (rows, entries.col)), shape=(len(cells), len(genes)))
    return Imported(
        layers=layers,
        cells=cells,
        genes=genes,
        symbols=tuple(row[1] for row in features) if all(len(row) > 1 for row in features) else None,
        versions=None,
        quantifier="mtx",
    )


def _layer(folder: Path, layer: str) -> tuple[sparse.csr_matrix, tuple[str, ...], list[list[str]]] | None:
    """Cells × genes, the cells and the features of one layer; `None` where the folder has no such layer."""
    home, name, prefix = (folder / layer, "matrix", "") if (folder / layer).is_dir() else (folder, layer, "")
    path = find_one(home, f"{name}.mtx")
    if path is None:
        return None
    if find_one(home, f"{layer}.barcodes.txt"):
        prefix = f"{layer}."
    cells = first_column(
        read_rows(one_of(home, *(prefix + name for name in ("barcodes.tsv", "barcodes.txt", "cells.txt"))))
    )
    features = read_rows(one_of(home, *(prefix + name for name in ("features.tsv", "genes.tsv", "genes.txt"))))
    matrix = read_matrix_market(path)
    shape = (len(cells), len(features))
    if shape[0] == shape[1]:
        raise UserMistake(
            f"{folder} has as many cells as genes ({shape[0]}), so rows can't be told from columns;"
            " give an h5ad instead."
        )
    if matrix.shape not in (shape, shape[::-1]):
        raise UserMistake(
            f"{folder}: layer '{layer}' is {matrix.shape[0]} × {matrix.shape[1]}, the names say {shape[0]} cells ×"
            f" {shape[1]} genes; the files are not of one run."
        )
    return (sparse.csr_matrix(matrix.T) if matrix.shape != shape else matrix), cells, features


def _refuse_gene_level(path: Path) -> Imported:
    raise UserMistake(
        f"{path} is a gene-level matrix (Cell Ranger's or STARsolo's), in which spliced and unspliced are one number:"
        " velocity needs them apart; count the run's BAM (possorted_genome_bam.bam) as a sample of quantifier 'bam',"
        " or give STARsolo's folder Velocyto."
    )


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
    return path if any(path.glob("spliced.mtx*")) or any(path.glob("spliced/matrix.mtx*")) else None


def _gene_level_folder(path: Path) -> Path | None:
    inside = (path, path / "filtered_feature_bc_matrix", path / "outs" / "filtered_feature_bc_matrix")
    return next((folder for folder in inside if any(folder.glob("matrix.mtx*"))), None)


_FOLDERS: tuple[tuple[Callable[[Path], Path | None], Callable[[Path], Imported]], ...] = (
    (_starsolo_folder, read_starsolo),
    (_kb_folder, read_kb),
    (fry_folder, read_fry),
    (_mtx_folder, read_mtx_folder),
    (_gene_level_folder, _refuse_gene_level),
)
