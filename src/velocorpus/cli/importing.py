"""`velocorpus cells` and `import`: which barcodes are cells, and counts that other tools have made."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.cli.outcome import OutcomeOption, records_outcome
from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("cells")
def cells(
    bam: Annotated[Path, typer.Option(help="BAM with corrected cell and UMI tags.")],
    out: Annotated[Path, typer.Option(help="Barcodes that are cells, one a line.")],
    min_umis: Annotated[int | None, typer.Option(min=1, help="UMIs of a cell; by default the knee decides.")] = None,
) -> None:
    """List the cells of a BAM, called by the knee of their UMIs or by a number of them."""
    from velocorpus.cells.calling import call_cells as knee
    from velocorpus.counting.cell_list import write_cell_list

    _say(write_cell_list(bam, out, caller=knee, min_umis=min_umis))


@app.command("import")
@records_outcome
def import_(
    path: Annotated[
        Path, typer.Argument(help="A loom, an h5ad with layers, a STARsolo, kb, alevin-fry or mtx folder.")
    ],
    out: Annotated[Path, typer.Option(help="The counts.h5ad to write.")],
    sample: Annotated[str, typer.Option(help="Name of the sample: cells are named `sample:barcode`.")] = "sample",
    genes: Annotated[Path | None, typer.Option(help="Table of gene ids and symbols: symbols become ids.")] = None,
    cells: Annotated[Path | None, typer.Option(help="List of the sample's cells; other barcodes are dropped.")] = None,
    cells_called_by: Annotated[str, typer.Option(help="What made that list, kept in the file.")] = "",
    call_cells: Annotated[str | None, typer.Option(help="Call cells of raw counts: knee or emptydrops.")] = None,
    cell_type: Annotated[str | None, typer.Option(help="Column of the cells' types, kept as cell_type.")] = None,
    reference: Annotated[str, typer.Option(help="Name of the reference, kept in the file.")] = "",
    chemistry: Annotated[str, typer.Option(help="Chemistry of the library, kept in the file.")] = "",
    outcome: OutcomeOption = None,
) -> None:
    """Bring in counts that another tool has made."""
    from velocorpus.cells.calling import knee
    from velocorpus.cells.emptydrops import empty_drops
    from velocorpus.counting.bring_in import bring_in

    callers = {None: None, "knee": knee, "emptydrops": empty_drops}
    if call_cells not in callers:
        raise UserMistake(f"--call-cells {call_cells} is not a method; allowed: knee, emptydrops.")
    if cells is not None and call_cells is not None:
        raise UserMistake("--cells and --call-cells exclude each other; give one.")
    for line in bring_in(
        path,
        out,
        sample=sample,
        gene_table=genes,
        cell_list=cells,
        caller=callers[call_cells],
        cells_called_by=cells_called_by,
        cell_type=cell_type,
        reference=reference,
        chemistry=chemistry,
    ):
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
