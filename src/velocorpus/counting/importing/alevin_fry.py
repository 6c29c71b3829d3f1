"""alevin-fry's counts in USA mode, as `alevin-fry quant` or `simpleaf quant` leave them.

`quants_mat.mtx` is cells × columns; `quants_mat_cols.txt` names each gene three times: bare (spliced), with `-U`
(unspliced) and with `-A` (ambiguous: the read fits both); `quants_mat_rows.txt` names the cells. `quant.json`
(`meta_info.json` before 0.4.1) says `usa_mode`, and simpleaf puts `gene_id_to_name.tsv` beside it. Columns are told by
their names, not by their place.

The rule is the one of alevin-fry's authors for velocity: spliced = S + A, unspliced = U. What is ambiguous depends on
the reference alone (with spliced + unspliced transcripts nearly every exonic read is), and is mature RNA for the most
part, as in kb; our ambiguous layer is absent, and how many molecules moved is noted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.imported import (
    Imported,
    first_column,
    need_layers,
    one_of,
    read_matrix_market,
    read_rows,
)
from velocorpus.counting.raw import check_raw
from velocorpus.errors import UserMistake
from velocorpus.files import read_json

FRY_RULE = "spliced = S + A, unspliced = U (alevin-fry's own `velocity` format)"
_STATUS = {"-U": names.UNSPLICED, "-A": names.AMBIGUOUS}


def fry_folder(path: Path) -> Path | None:
    """The folder with the matrix: `alevin/` of alevin-fry's output or of simpleaf's `af_quant`, or that itself."""
    folders = (path, path / "alevin", path / "af_quant" / "alevin")
    return next((folder for folder in folders if any(folder.glob("quants_mat.mtx*"))), None)


def read_fry(folder: Path) -> Imported:
    """Counts of alevin-fry; refused: those made without the splicing status, and fractions that an EM made."""
    quant = _metadata(folder, "quant.json", "meta_info.json")
    if quant.get("usa_mode") is False:
        raise UserMistake(
            f"{folder} was not quantified in USA mode, so spliced and unspliced are one count; run `alevin-fry quant`"
            " with a spliced + intronic index and its three-column transcript-to-gene map."
        )
    columns = first_column(read_rows(one_of(folder, "quants_mat_cols.txt")))
    gene, status = _told_apart(columns)
    genes = list(gene[status == names.SPLICED])
    for layer in names.LAYERS:
        of_layer = list(gene[status == layer])
        if sorted(of_layer) != sorted(genes) or len(set(of_layer)) != len(of_layer):
            raise UserMistake(
                f"{folder}: its columns name {len(set(genes))} genes as spliced and {len(set(of_layer))} as {layer}; in"
                " USA mode every gene stands once as itself, once with -U, once with -A."
            )
    matrix = read_matrix_market(one_of(folder, "quants_mat.mtx")).tocsc()
    cells = first_column(read_rows(one_of(folder, "quants_mat_rows.txt")))
    if matrix.shape != (len(cells), len(columns)):
        raise UserMistake(
            f"{folder}: the matrix is {matrix.shape[0]} × {matrix.shape[1]}, its names say {len(cells)} cells ×"
            f" {len(columns)} columns; the files are not of one run."
        )
    order = {name: i for i, name in enumerate(genes)}
    layers = {}
    for layer in names.LAYERS:
        places = np.flatnonzero(status == layer)
        layers[layer] = matrix[:, places[np.argsort([order[gene[i]] for i in places])]].tocsr()
    counts = Imported(layers, cells, tuple(genes), _symbols(folder, genes), None, "alevin-fry")
    return fry_layers(counts, quant, _metadata(folder, "generate_permit_list.json"), folder)


def fry_layers(counts: Imported, quant: Mapping[str, Any], permit: Mapping[str, Any], path: Path) -> Imported:
    """Ours of alevin-fry's three layers, with what its metadata say of the run."""
    need_layers(path, list(counts.layers), list(counts.layers))
    resolution = str(quant.get("resolution_strategy", ""))
    if any((m.data != np.rint(m.data)).any() for m in counts.layers.values()):
        raise UserMistake(
            f"{path} holds fractional counts (resolution '{resolution or 'unknown'}'); run `alevin-fry quant` with"
            " --resolution cr-like, which counts whole molecules."
        )
    for layer, matrix in counts.layers.items():
        check_raw(matrix.data, f"{path}: layer '{layer}'")  # in a sum a negative count would not be seen
    ambiguous = counts.layers.get(names.AMBIGUOUS, sparse.csr_matrix(counts.layers[names.SPLICED].shape))
    kind = str(permit.get("permit-list-type", ""))
    return replace(
        counts,
        layers={
            names.SPLICED: counts.layers[names.SPLICED] + ambiguous,
            names.UNSPLICED: counts.layers[names.UNSPLICED],
        },
        quantifier="alevin-fry",
        quantifier_version=str(permit.get("version_str", "")),
        # An unfiltered permit list is of all barcodes: nobody has called cells yet.
        cells_called_by="alevin-fry's permit list" if kind == "filtered" else "",
        notes={
            "fry_rule": FRY_RULE,
            "fry_ambiguous_molecules": int(ambiguous.sum()),
            "fry_resolution": resolution,
            "fry_permit_list": kind,
        },
    )


def _told_apart(columns: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Gene and layer of each column; HLA-A is a gene of its own, as there is no HLA to be the ambiguous part of."""
    known = set(columns)
    gene, status = [], []
    for name in columns:
        stem, layer = name[:-2], _STATUS.get(name[-2:])
        part = layer is not None and {stem, f"{stem}-U", f"{stem}-A"} <= known
        gene.append(stem if part else name)
        status.append(layer if part else names.SPLICED)
    return np.array(gene, dtype=object), np.array(status)


def _metadata(folder: Path, *candidates: str) -> dict[str, Any]:
    for root in (folder, folder.parent):
        for name in candidates:
            if (root / name).exists():
                return read_json(root / name)
    return {}


def _symbols(folder: Path, genes: list[str]) -> tuple[str, ...] | None:
    path = next(
        (p for p in (folder.parent / "gene_id_to_name.tsv", folder / "gene_id_to_name.tsv") if p.exists()), None
    )
    if path is None:
        return None
    named = {row[0]: row[1] for row in read_rows(path) if len(row) > 1}
    return tuple(named.get(gene, gene) for gene in genes)
