"""kb's nac workflow: `counts_unfiltered` with `cells_x_genes.{mature,nascent,ambiguous}.mtx`, cells × genes.

In kb, `ambiguous` means "exonic, so either", and almost all of it is mature RNA: spliced = mature + ambiguous,
unspliced = nascent, and our ambiguous layer is absent.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.imported import (
    Imported,
    check_shapes,
    find_one,
    first_column,
    one_of,
    read_matrix_market,
    read_rows,
)
from velocorpus.counting.raw import check_raw
from velocorpus.errors import UserMistake
from velocorpus.files import read_json

KB_RULE = "spliced = mature + ambiguous, unspliced = nascent; kb's ambiguous is exonic RNA of either kind"
KB_LAYERS = ("mature", "nascent", "ambiguous")


def kb_folder(path: Path, file: str = "cells_x_genes.mature.mtx") -> Path | None:
    """The folder with the matrices, or with another `file` of kb's: that of counts, or `path` itself."""
    folders = (path, path / "counts_unfiltered", path / "counts_filtered")
    return next((folder for folder in folders if find_one(folder, file)), None)


def read_kb(folder: Path) -> Imported:
    """A `counts_unfiltered` folder; kb's version is that of `kb_info.json` above it."""
    files = {layer: find_one(folder, f"cells_x_genes.{layer}.mtx") for layer in KB_LAYERS}
    layers = {layer: read_matrix_market(path) for layer, path in files.items() if path is not None}
    cells = first_column(read_rows(one_of(folder, "cells_x_genes.barcodes.txt")))
    genes = first_column(read_rows(one_of(folder, "cells_x_genes.genes.txt")))
    named = find_one(folder, "cells_x_genes.genes.names.txt")
    symbols = first_column(read_rows(named)) if named is not None else None
    about = folder.parent / "kb_info.json"
    version = str(read_json(about).get("version", "")) if about.exists() else ""
    return from_kb_layers(layers, cells, genes, folder, symbols, version)


def from_kb_layers(
    layers: Mapping[str, Any],
    cells: Sequence[str],
    genes: Sequence[str],
    path: Path,
    symbols: Sequence[str] | None,
    version: str = "",
) -> Imported:
    """Ours of kb's three layers, each cells × genes."""
    missing = set(KB_LAYERS) - set(layers)
    if missing:
        raise UserMistake(
            f"{path} has no kb matrix '{min(missing)}'; count with `kb count --workflow nac`, which writes mature,"
            " nascent and ambiguous."
        )
    check_shapes(path, layers, cells, genes)
    mature, nascent, ambiguous = (sparse.csr_matrix(layers[layer]) for layer in KB_LAYERS)
    for layer, matrix in zip(KB_LAYERS, (mature, nascent, ambiguous), strict=True):
        check_raw(matrix.data, f"{path}: kb's matrix '{layer}'")  # in a sum a negative count would not be seen
    return Imported(
        layers={names.SPLICED: mature + ambiguous, names.UNSPLICED: nascent},
        cells=tuple(map(str, cells)),
        genes=tuple(map(str, genes)),
        symbols=None if symbols is None else tuple(map(str, symbols)),
        versions=None,
        quantifier="kb",
        quantifier_version=version,
        notes={"kb_rule": KB_RULE},
    )
