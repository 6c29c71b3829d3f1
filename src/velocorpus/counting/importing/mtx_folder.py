"""One matrix a layer, cells × genes or genes × cells.

`spliced.mtx`, `unspliced.mtx` (and `ambiguous.mtx`) with names beside them, once or a layer (`spliced.barcodes.txt`,
kb's older lamanno workflow), or a folder of 10x's files a layer (`spliced/matrix.mtx.gz`).
"""

from pathlib import Path

import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.imported import (
    Imported,
    bare_barcodes,
    find_one,
    first_column,
    need_layers,
    one_of,
    read_matrix_market,
    read_rows,
    refuse_twice,
)
from velocorpus.errors import UserMistake


def mtx_folder(path: Path) -> Path | None:
    """`path`, where it is such a folder."""
    return path if find_one(path, "spliced.mtx", "spliced/matrix.mtx") else None


def read_mtx_folder(folder: Path) -> Imported:
    """One matrix a layer; turned to cells × genes where the names say so. Layers with barcodes of their own are joined.

    Refused: layers of different genes or without a common barcode, a barcode twice, and as many cells as genes, where
    rows can't be told from columns.
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
        if set(of_layer).isdisjoint(found[names.SPLICED][1]):
            raise UserMistake(f"{folder}: its layers spliced and {layer} share no barcode; export them anew.")
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
    listed = one_of(home, *(prefix + name for name in ("barcodes.tsv", "barcodes.txt", "cells.txt")))
    cells = bare_barcodes(first_column(read_rows(listed)))
    refuse_twice(listed, cells)
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
