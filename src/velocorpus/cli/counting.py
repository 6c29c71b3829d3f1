"""`velocorpus count`, `import` and `concord`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from velocorpus.cli.outcome import OutcomeOption, records_outcome
from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("count")
@records_outcome
def count(
    bam: Annotated[Path, typer.Option(help="BAM with corrected cell and UMI tags (Cell Ranger, STARsolo, Optimus).")],
    gtf: Annotated[Path, typer.Option(help="Annotation of the genome that the BAM is aligned to, plain or gzip.")],
    barcodes: Annotated[Path, typer.Option(help="List of the sample's cells, one barcode a line, with or without -1.")],
    out: Annotated[Path, typer.Option(help="The counts.h5ad to write.")],
    sample: Annotated[str, typer.Option(help="Name of the sample: cells are named `sample:barcode`.")] = "sample",
    engine: Annotated[str, typer.Option(help="native, or velocyto itself (slow).")] = "native",
    logic: Annotated[str, typer.Option(help="One of velocyto's 10x logics.")] = "permissive10x",
    reference: Annotated[str, typer.Option(help="Name of the reference, kept in the file.")] = "",
    chemistry: Annotated[str, typer.Option(help="Chemistry of the library, kept in the file.")] = "",
    cell_tag: Annotated[str, typer.Option(help="BAM tag of the cell barcode.")] = "CB",
    umi_tag: Annotated[str, typer.Option(help="BAM tag of the UMI.")] = "UB",
    qc: Annotated[Path | None, typer.Option(help="Write what became of every read and molecule, as JSON.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads; the counts do not depend on them.")] = 1,
    outcome: OutcomeOption = None,
) -> None:
    """Count spliced, unspliced and ambiguous molecules of a BAM, as velocyto 0.17.17 does."""
    from velocorpus import __version__
    from velocorpus.counting.alignments import read_barcodes
    from velocorpus.counting.count import count_bam
    from velocorpus.counting.counts_file import write_counts
    from velocorpus.counting.rules import LOGICS
    from velocorpus.files import existing, write_json
    from velocorpus.reference.gtf import read_gtf

    if engine not in ("native", "velocyto"):
        raise UserMistake(f"--engine {engine} is not an engine; allowed: native, velocyto.")
    if logic not in LOGICS:
        raise UserMistake(f"--logic {logic} is not a logic; allowed: {', '.join(LOGICS)}.")
    existing(bam, "BAM")
    listed = read_barcodes(barcodes)
    models = read_gtf(gtf)
    _say(f"{gtf.name}: {len(models.gene_ids)} genes, {len(models.transcript_ids)} transcripts")
    source: dict[str, Any] = {
        "reference": reference,
        "reference_digest": models.digest(),
        "chemistry": chemistry,
        "logic": logic,
    }
    if engine == "velocyto":
        _count_by_velocyto(bam, gtf, listed, out, sample, logic, threads, source, models)
        return
    counted = count_bam(bam, models, listed, logic=logic, cell_tag=cell_tag, umi_tag=umi_tag, threads=threads)
    for note in counted.notes:
        _say(f"note: {note}")
    source |= {
        "quantifier": "velocorpus count",
        "quantifier_version": __version__,
        "qc": counted.qc,
        "notes": list(counted.notes),
    }
    write_counts(
        out, layers=counted.layers, sample=sample, barcodes=counted.barcodes, genes=counted.genes, source=source
    )
    if qc is not None:
        write_json(qc, counted.qc)
    molecules = counted.qc["molecules"]
    _say(
        f"{out}: {counted.qc['n_reads']} reads, {molecules['spliced']} spliced, {molecules['unspliced']} unspliced,"
        f" {molecules['ambiguous']} ambiguous molecules in {len(counted.barcodes)} barcodes"
    )


def _count_by_velocyto(
    bam: Path,
    gtf: Path,
    listed: tuple[str, ...],
    out: Path,
    sample: str,
    logic: str,
    threads: int,
    source: dict[str, Any],
    models: Any,
) -> None:
    import tempfile

    import numpy as np

    from velocorpus.counting.count import gene_frame
    from velocorpus.counting.counts_file import write_counts
    from velocorpus.counting.importers import bare_barcodes, read_loom
    from velocorpus.counting.velocyto import aligned_to, run_velocyto

    with tempfile.TemporaryDirectory(prefix="velocyto-") as folder:
        loom = read_loom(run_velocyto(bam, gtf, listed, Path(folder), logic=logic, threads=threads))
    genes = gene_frame(models)
    layers = aligned_to(loom.layers, bare_barcodes(loom.cells), loom.genes, listed, tuple(genes.index))
    source |= {"quantifier": "velocyto", "quantifier_version": loom.quantifier_version}
    write_counts(out, layers=layers, sample=sample, barcodes=listed, genes=genes, source=source)
    totals = ", ".join(f"{int(np.sum(matrix.data))} {layer}" for layer, matrix in layers.items())
    _say(f"{out}: velocyto counted {totals} molecules")


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
    path: Annotated[Path, typer.Argument(help="A loom, an h5ad with layers, a STARsolo, kb or mtx folder.")],
    out: Annotated[Path, typer.Option(help="The counts.h5ad to write.")],
    sample: Annotated[str, typer.Option(help="Name of the sample: cells are named `sample:barcode`.")] = "sample",
    genes: Annotated[Path | None, typer.Option(help="Table of gene ids and symbols: symbols become ids.")] = None,
    cells: Annotated[Path | None, typer.Option(help="List of the sample's cells; other barcodes are dropped.")] = None,
    call_cells: Annotated[str | None, typer.Option(help="Call cells from the totals: knee.")] = None,
    cell_type: Annotated[str | None, typer.Option(help="Column of the cells' types, kept as cell_type.")] = None,
    reference: Annotated[str, typer.Option(help="Name of the reference, kept in the file.")] = "",
    chemistry: Annotated[str, typer.Option(help="Chemistry of the library, kept in the file.")] = "",
    outcome: OutcomeOption = None,
) -> None:
    """Bring in counts that another tool has made."""
    from velocorpus.cells.calling import call_cells as knee
    from velocorpus.counting.bring_in import bring_in

    if call_cells not in (None, "knee"):
        raise UserMistake(f"--call-cells {call_cells} is not a method; allowed: knee.")
    if cells is not None and call_cells is not None:
        raise UserMistake("--cells and --call-cells exclude each other; give one.")
    for line in bring_in(
        path,
        out,
        sample=sample,
        gene_table=genes,
        cell_list=cells,
        caller=knee if call_cells else None,
        cell_type=cell_type,
        reference=reference,
        chemistry=chemistry,
    ):
        _say(line)


@app.command("concord")
def concord(
    out: Annotated[Path, typer.Option(help="The table to write, as JSON.")],
    counts: Annotated[list[str], typer.Option(help="NAME=counts.h5ad; repeatable.")],
    truth: Annotated[Path | None, typer.Option(help="Simulated truth; without it, pairs are compared.")] = None,
    genes: Annotated[Path | None, typer.Option(help="Gene table; its `difficulty` breaks the errors down.")] = None,
    figure: Annotated[Path | None, typer.Option(help="A PNG to draw: gene totals against the truth.")] = None,
) -> None:
    """Compare counts of one sample with each other or with the truth."""
    from velocorpus.counting.concord import concord as compare

    named: dict[str, Path] = {}
    for item in counts:
        name, equals, path = item.partition("=")
        if not (name and equals and path) or name in named or name == "truth":
            raise UserMistake(f"--counts {item}: give NAME=counts.h5ad, each name once (and not `truth`).")
        named[name] = Path(path)
    table = compare(named, truth=truth, genes=genes, figure=figure)
    table.write(out)
    _say(table.to_text())


def _say(line: str) -> None:
    print(line, file=sys.stderr)
