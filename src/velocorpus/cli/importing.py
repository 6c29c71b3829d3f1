"""`velocorpus cells`, `import`, `samples-from-scbasecount`: cells, and counts that other tools have made."""

import sys
from pathlib import Path
from typing import Annotated

import typer

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
    organism: Annotated[str, typer.Option(help="Its species: Ensembl genes of another one are refused.")] = "",
) -> None:
    """Bring in counts that another tool has made."""
    import importlib

    from velocorpus.counting.importing.bring_in import bring_in

    # Only where cells are called: numba and scipy.stats take longer to load than most samples to import.
    callers = {"knee": "calling.knee", "emptydrops": "emptydrops.empty_drops"}
    module, _, caller = callers.get(call_cells or "", "").partition(".")
    if call_cells is not None and not caller:
        raise UserMistake(f"--call-cells {call_cells} is not a method; allowed: knee, emptydrops.")
    if cells is not None and call_cells is not None:
        raise UserMistake("--cells and --call-cells exclude each other; give one.")
    for line in bring_in(
        path,
        out,
        sample=sample,
        gene_table=genes,
        cell_list=cells,
        caller=getattr(importlib.import_module(f"velocorpus.cells.{module}"), caller) if caller else None,
        cells_called_by=cells_called_by,
        cell_type=cell_type,
        reference=reference,
        chemistry=chemistry,
        organism=organism,
    ):
        _say(line)


@app.command("samples-from-scbasecount")
def samples_from_scbasecount(
    table: Annotated[Path, typer.Argument(help="Experiments with srx_accession and organism: CSV, TSV or Parquet.")],
    prefix: Annotated[str, typer.Option(help="Folder, s3:// or https:// that holds Homo_sapiens/EXPERIMENT.h5ad.")],
    samples: Annotated[Path, typer.Option(help="The table of samples to write.")] = Path("samples.tsv"),
    units: Annotated[Path, typer.Option(help="The table of files to write.")] = Path("units.tsv"),
    studies: Annotated[Path | None, typer.Option(help="Table of experiments and their studies.")] = None,
    by_experiment: Annotated[bool, typer.Option(help="No studies are known: each experiment is its own.")] = False,
    organism: Annotated[list[str] | None, typer.Option(help="Only these organisms; repeatable.")] = None,
    genes: Annotated[str, typer.Option(help="Gene table by which the ids are mapped, for every row.")] = "",
    suffix: Annotated[str, typer.Option(help="How the files' names end.")] = ".h5ad",
) -> None:
    """Tables of samples and files for scBaseCount's experiments: one row each, quantifier `import`."""
    from velocorpus import names
    from velocorpus.counting.importing.scbasecount import rows_of, write_tables

    if (studies is None) != by_experiment:
        raise UserMistake(
            "Splits and velocity targets are made per study: give --studies TABLE (the samples.tsv of `velocorpus"
            " resolve` will do), or else --by-experiment, by which cells of one study can come into several splits."
        )
    unknown = set(organism or ()) - set(names.ORGANISMS)
    if unknown:
        raise UserMistake(f"--organism {min(unknown)} is not known; allowed: {', '.join(names.ORGANISMS)}.")
    rows = rows_of(
        table, prefix=prefix, studies=studies, organisms=organism or names.ORGANISMS, genes=genes, suffix=suffix
    )
    for line in write_tables(rows, samples, units):
        _say(line)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
