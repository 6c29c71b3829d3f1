"""`velocorpus concord`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("concord")
def concord(
    out: Annotated[Path, typer.Option(help="The table to write, as JSON.")],
    counts: Annotated[list[str], typer.Option(help="NAME=counts.h5ad; repeatable.")],
    truth: Annotated[Path | None, typer.Option(help="Simulated truth; without it, pairs are compared.")] = None,
    genes: Annotated[Path | None, typer.Option(help="Gene table; its `difficulty` breaks the errors down.")] = None,
    gtf: Annotated[Path | None, typer.Option(help="Annotation: the reasons why genes differ are told from it.")] = None,
    fasta: Annotated[
        Path | None, typer.Option(help="Genome of that annotation: tells genes that share sequence.")
    ] = None,
    reasons: Annotated[Path | None, typer.Option(help="Table to write: how much each reason explains, JSON.")] = None,
    differing: Annotated[Path | None, typer.Option(help="Table to write: the genes that differ most, JSON.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many of them, of each pair.")] = 20,
    figure: Annotated[Path | None, typer.Option(help="A PNG to draw: gene totals against the truth.")] = None,
) -> None:
    """Compare counts of one sample with each other or with the truth, and say why they differ."""
    from velocorpus.counting.concordance.compare import TRUTH, Compared, agreement
    from velocorpus.counting.concordance.genes import differing_genes, draw
    from velocorpus.reference.gene_traits import gene_traits
    from velocorpus.reference.genome import read_genome
    from velocorpus.reference.gtf import read_gtf

    if fasta is not None and gtf is None:
        raise UserMistake("--fasta is read together with its annotation: give --gtf.")
    named: dict[str, Path] = {}
    for item in counts:
        name, equals, path = item.partition("=")
        if not (name and equals and path) or name in named or name == TRUTH:
            raise UserMistake(f"--counts {item}: give NAME=counts.h5ad, each name once (and not `{TRUTH}`).")
        named[name] = Path(path)
    compared = Compared.read(named, truth)
    traits = None if gtf is None else gene_traits(read_gtf(gtf), read_genome(fasta) if fasta else None)
    tables = (agreement(compared, genes), *differing_genes(compared, traits or {}, top=top))
    for table, file in zip(tables, (out, reasons, differing), strict=True):
        _say(table.to_text() + "\n")
        if file is not None:
            table.write(file)
    if figure is not None:
        draw(compared, figure, traits)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
