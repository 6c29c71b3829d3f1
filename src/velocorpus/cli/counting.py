"""`velocorpus count`."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("count")
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
    cell_tag: Annotated[str, typer.Option(help="BAM tag of the cell barcode (CR: as sequenced).")] = "CB",
    umi_tag: Annotated[str, typer.Option(help="BAM tag of the UMI (UR: as sequenced).")] = "UB",
    mask: Annotated[Path | None, typer.Option(help="GTF of repeats whose reads do not count (velocyto -m).")] = None,
    compat: Annotated[str, typer.Option(help="velocyto, oddities included; or none: all corrections.")] = "velocyto",
    correct: Annotated[
        list[str] | None, typer.Option(help="Undo one of velocyto's oddities; repeatable; see docs/counting.md.")
    ] = None,
    qc: Annotated[Path | None, typer.Option(help="Write what became of every read and molecule, as a TSV.")] = None,
    cells_called_by: Annotated[str, typer.Option(help="What made the list of cells, kept in the file.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Threads; the counts do not depend on them.")] = 1,
) -> None:
    """Count spliced, unspliced and ambiguous molecules of a BAM, as velocyto 0.17.17 does."""
    from velocorpus import __version__
    from velocorpus.counting.accounting import write_qc
    from velocorpus.counting.barcodes import read_barcodes
    from velocorpus.counting.corrections import CHROMOSOME_NAMES, MASK, chosen_corrections
    from velocorpus.counting.count import count_bam
    from velocorpus.counting.feature_cache import cached_features
    from velocorpus.counting.mask import read_mask
    from velocorpus.counting.rules import LOGICS
    from velocorpus.files import existing

    if engine not in ("native", "velocyto"):
        raise UserMistake(f"--engine {engine} is not an engine; allowed: native, velocyto.")
    if logic not in LOGICS:
        raise UserMistake(f"--logic {logic} is not a logic; allowed: {', '.join(LOGICS)}.")
    corrections = chosen_corrections(compat, correct or ())
    if engine == "velocyto" and (corrections or mask or qc or (cell_tag, umi_tag) != ("CB", "UB")):
        raise UserMistake(
            "--engine velocyto is velocyto as it is; --mask, --correct, --qc and tags are for the engine native."
        )
    existing(bam, "BAM")
    listed = read_barcodes(barcodes)
    models, features, reference_digest = cached_features(gtf, corrections, say=_say)
    _say(f"{gtf.name}: {len(models.gene_ids)} genes, {len(models.transcript_ids)} transcripts")
    source: dict[str, Any] = {
        "reference": reference,
        "reference_digest": reference_digest,
        "chemistry": chemistry,
        "logic": logic,
        "corrections": sorted(corrections),
        "tags": [cell_tag, umi_tag],
        "cells": {"chosen_by": "list", "method": cells_called_by, "listed": len(listed)},
    }
    if engine == "velocyto":
        _count_by_velocyto(bam, gtf, listed, out, sample, logic, threads, source, models)
        return
    masked = None
    if mask is not None:
        exact = CHROMOSOME_NAMES in corrections
        masked = read_mask(mask, features.chromosomes, exact_names=exact, whole=MASK in corrections)
        source["mask_digest"] = masked.digest()
    counted = count_bam(
        bam,
        models,
        listed,
        logic=logic,
        cell_tag=cell_tag,
        umi_tag=umi_tag,
        threads=threads,
        features=features,
        mask=masked,
        correct=corrections,
    )
    # anndata takes a second to import, which only what is counted is worth.
    from velocorpus.counting.counts_file import write_counts

    for note in counted.notes:
        _say(f"note: {note}")
    source |= {
        "quantifier": "velocorpus count",
        "quantifier_version": __version__,
        "qc": counted.qc,
        "notes": list(counted.notes),
    }
    write_counts(
        out,
        layers=counted.layers,
        sample=sample,
        barcodes=counted.barcodes,
        genes=counted.genes,
        source=source,
        obs=counted.cells,
    )
    if qc is not None:
        write_qc(qc, counted.qc)
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
    from velocorpus.counting.importing.imported import bare_barcodes
    from velocorpus.counting.importing.loom import read_loom
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
