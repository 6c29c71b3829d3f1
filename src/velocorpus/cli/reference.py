"""`velocorpus reference`: check and filter a FASTA and a GTF."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


class Biotypes(StrEnum):
    """Which genes a reference keeps."""

    TENX = "10x"
    ALL = "all"


@app.command("reference")
def reference(
    gtf: Annotated[Path, typer.Option(help="Gene annotation, plain or gzip.")],
    out: Annotated[Path, typer.Option(help="Folder to write; genes.gtf, gene_table.tsv and more go there.")],
    fasta: Annotated[
        Path | None, typer.Option(help="Genome, plain or gzip; needed for reads, not for counting BAMs.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The reference's name; the folder's by default.")] = None,
    organism: Annotated[str, typer.Option(help="human or mouse.")] = "human",
    biotypes: Annotated[Biotypes, typer.Option(help="Genes to keep.")] = Biotypes.TENX,
    offset: Annotated[
        list[str] | None,
        typer.Option(help="CHROMOSOME:BASES, for a FASTA piece: bases of the chromosome before it."),
    ] = None,
) -> None:
    """Filter and check a FASTA and a GTF; write the gene table."""
    from velocorpus.reference.build import build_reference

    build_reference(
        gtf=gtf,
        out=out,
        fasta=fasta,
        name=name,
        organism=organism,
        biotypes=biotypes.value,
        offsets=dict(_offset(text) for text in offset or []),
    )


def _offset(text: str) -> tuple[str, int]:
    chromosome, _, bases = text.rpartition(":")
    if not chromosome or not bases.isdigit():
        raise UserMistake(f"--offset {text} is not CHROMOSOME:BASES, e.g. 21:881.")
    return chromosome, int(bases)
