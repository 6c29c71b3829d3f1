"""Counts of another tool to a `counts.h5ad`: cells chosen, genes mapped, everything dropped said."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.counts_file import write_counts
from velocorpus.counting.importing.gene_tables import check_organism, map_genes, read_gene_table, share_of_ids
from velocorpus.counting.importing.imported import Imported, bare_barcodes, check_shapes, refuse_twice
from velocorpus.counting.importing.importers import read_any
from velocorpus.counting.raw import check_raw
from velocorpus.errors import UserMistake, mistakes_in

_LISTED_IN_SOURCE = 50
_SMALL = 10  # molecules of a barcode that can be no cell


class CalledCells(Protocol):
    """What a method of cell calling says (see `cells.calling.Called`)."""

    @property
    def is_cell(self) -> np.ndarray: ...  # noqa: D102
    @property
    def method(self) -> str: ...  # noqa: D102
    @property
    def parameters(self) -> Mapping[str, float]: ...  # noqa: D102


# Barcodes × genes, all layers summed, to what is a cell.
CellCaller = Callable[[sparse.csr_matrix], CalledCells]


def bring_in(
    path: Path | str,
    out: Path | str,
    *,
    sample: str,
    gene_table: Path | None = None,
    cell_list: Path | None = None,
    caller: CellCaller | None = None,
    cells_called_by: str = "",
    cell_type: str | None = None,
    reference: str = "",
    chemistry: str = "",
    organism: str = "",
) -> list[str]:
    """Import `path` and write `out`; returns what there is to tell, one line a thing.

    Cells are all of the input's, those of `cell_list` (which `cells_called_by` made), or those that `caller` calls from
    the counts; which of these, by which method and with which figures stands in the file. Barcodes lose 10x's `-1`.
    Genes lose their version, or are mapped by `gene_table`; what is lost by that is counted. Refused: what the
    readers and `write_counts` refuse, a `cell_list` that shares no barcode with the input, a `cell_type` column that
    is not there. With an `organism`, as in a corpus: genes of another species are refused, and without a table so are
    counts of which less than half the genes are named by Ensembl id; of the others, those without one are dropped.
    """
    counts = read_any(path)
    if not counts.genes:
        raise UserMistake(f"{path} has no genes; give a run that has some.")
    check_shapes(path, counts.layers, counts.cells, counts.genes)
    for layer, matrix in counts.layers.items():
        check_raw(matrix.data, f"{path}: layer '{layer}'")
    for what, of_genes in (("symbols", counts.symbols), ("versions", counts.versions)):
        if of_genes is not None and len(of_genes) != len(counts.genes):
            raise UserMistake(f"{path} names {len(counts.genes)} genes and {len(of_genes)} {what}; make it again.")
    source: dict[str, Any] = {
        "reference": reference,
        "reference_digest": "",
        "chemistry": chemistry,
        "quantifier": counts.quantifier,
        "quantifier_version": counts.quantifier_version,
        **counts.notes,
    }
    barcodes = bare_barcodes(counts.cells)
    refuse_twice(path, barcodes)
    rows, said = _choose_cells(path, counts, barcodes, cell_list, caller, source, cells_called_by)
    if not rows.size:
        raise UserMistake(f"{path} has no cells to bring in (of {len(barcodes)} barcodes); give a run that has some.")
    table = read_gene_table(gene_table) if gene_table else None
    named = share_of_ids(counts.genes)
    if organism and table is None and named < 0.5:
        raise UserMistake(
            f"{path}: {named:.0%} of its {len(counts.genes)} genes are named by Ensembl id (first: {counts.genes[0]}),"
            " and a symbol may be a gene of several species; give a table of ids and symbols (--genes, in samples.tsv"
            " the column genes; 10x's features.tsv will do)."
        )
    mapped = map_genes(counts.genes, counts.symbols, counts.versions, table, ensembl_only=bool(organism))
    of_gene = np.asarray(sum(matrix[rows].sum(axis=0) for matrix in counts.layers.values())).ravel()
    for reason, places in mapped.dropped.items():
        if places:
            dropped = sorted(counts.genes[i] for i in places)
            lost = int(of_gene[places].sum())
            source[f"genes_{reason}"] = {"n": len(dropped), "molecules": lost, "first": dropped[:_LISTED_IN_SOURCE]}
            said.append(
                f"note: {len(dropped)} genes with {lost} molecules dropped, {reason.replace('_', ' ')} (first:"
                f" {dropped[0]})"
            )
    if table is not None:
        source["genes_absent"] = len(table.symbol_of.keys() - set(mapped.genes.index))
    if not mapped.kept.size:
        raise UserMistake(f"{path}: none of its {len(counts.genes)} genes is in the gene table {gene_table}.")
    if table is None and named < 0.5:
        said.append(f"note: only {named:.0%} of the gene names are Ensembl ids; give --genes TABLE to map symbols")
    if organism:
        with mistakes_in(path):
            check_organism(list(mapped.genes.index), organism)
    layers = {layer: sparse.csr_matrix(matrix)[rows][:, mapped.kept] for layer, matrix in counts.layers.items()}
    write_counts(
        out,
        layers=layers,
        sample=sample,
        barcodes=[barcodes[i] for i in rows],
        genes=mapped.genes,
        source=source,
        obs=_labels(path, counts, rows, cell_type),
    )
    totals = ", ".join(f"{int(matrix.sum())} {layer}" for layer, matrix in layers.items())
    said.append(f"{out}: {rows.size} cells, {mapped.kept.size} genes, {totals}")
    return said


def _choose_cells(
    path: Path | str,
    counts: Imported,
    barcodes: tuple[str, ...],
    cell_list: Path | None,
    caller: CellCaller | None,
    source: dict[str, Any],
    cells_called_by: str,
) -> tuple[np.ndarray, list[str]]:
    """Rows to keep, and what to say; a list's order rules the rows, otherwise the input's."""
    if cell_list is not None:
        row_of = {barcode: i for i, barcode in enumerate(barcodes)}
        listed = read_barcodes(cell_list)
        rows = np.array([row_of[b] for b in listed if b in row_of], dtype=np.int64)
        if not rows.size:
            raise UserMistake(
                f"None of the {len(listed)} barcodes of {cell_list} is in {path} (whose first is {barcodes[0]});"
                " give this sample's list."
            )
        missing = len(listed) - rows.size
        source["cells"] = {
            "chosen_by": "list",
            "method": cells_called_by,
            "listed": len(listed),
            "not_in_input": missing,
        }
        return rows, [f"note: {missing} listed barcodes are not in the input"] if missing else []
    if caller is not None:
        called = caller(sparse.csr_matrix(sum(sparse.csr_matrix(matrix) for matrix in counts.layers.values())))
        rows = np.flatnonzero(called.is_cell)
        source["cells"] = {
            "chosen_by": "call",
            "method": called.method,
            "parameters": dict(called.parameters),
            "barcodes": len(barcodes),
        }
        return rows, [f"{rows.size} of {len(barcodes)} barcodes are cells: {called.method}"]
    source["cells"] = {"chosen_by": "input", "method": counts.cells_called_by, "barcodes": len(barcodes)}
    of_cell = np.asarray(sum(matrix.sum(axis=1) for matrix in counts.layers.values())).ravel()
    n_small = int((of_cell < _SMALL).sum())
    note = (
        f"note: {n_small} of {len(barcodes)} barcodes have less than {_SMALL} molecules, and all are kept as cells;"
        " give --cells FILE, or --call-cells emptydrops"
    )
    return np.arange(len(barcodes)), [note] if 2 * n_small > len(barcodes) else []


def _labels(path: Path | str, counts: Imported, rows: np.ndarray, cell_type: str | None) -> pd.DataFrame | None:
    if cell_type is None:
        return None
    columns = [] if counts.obs is None else list(counts.obs.columns)
    if counts.obs is None or cell_type not in columns:
        raise UserMistake(f"{path} has no column '{cell_type}' for cells (found: {', '.join(columns) or 'none'}).")
    return pd.DataFrame(
        {names.CELL_TYPE: counts.obs[cell_type].astype(object).where(counts.obs[cell_type].notna(), "")}
    ).iloc[rows]
