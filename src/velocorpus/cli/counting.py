"""`velocorpus count`."""

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
    from velocorpus.counting.barcodes import read_barcodes
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


def _say(line: str) -> None:
    print(line, file=sys.stderr)
