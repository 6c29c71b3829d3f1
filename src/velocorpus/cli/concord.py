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
    counts: Annotated[list[str], typer.Option(help="NAME=counts.h5ad, or its outcome.json; repeatable.")],
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
    """Compare counts of one sample with each other or with the truth, and say why they differ.

    An outcome.json of a sample that was set aside is left out, and said.
    """
    from dataclasses import replace

    from velocorpus.counting.concordance.compare import TRUTH, Compared, agreement
    from velocorpus.counting.concordance.genes import differing_genes, draw
    from velocorpus.outcomes.outcome import OUTCOME_FILE, counts_of, refusal_at
    from velocorpus.reference.gene_traits import gene_traits
    from velocorpus.reference.genome import read_genome
    from velocorpus.reference.gtf import read_gtf

    if fasta is not None and gtf is None:
        raise UserMistake("--fasta is read together with its annotation: give --gtf.")
    named: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for item in counts:
        name, equals, given = item.partition("=")
        if not (name and equals and given) or name in {*named, *left_out, TRUTH}:
            raise UserMistake(f"--counts {item}: give NAME=counts.h5ad, each name once (and not `{TRUTH}`).")
        path = Path(given)
        if refusal := refusal_at(path):
            left_out[name] = f"{name} is left out, {refusal.state} at {refusal.stage}: {refusal.reason}."
        else:
            named[name] = counts_of(path) if path.name == OUTCOME_FILE else path
    if len(named) + (truth is not None) < 2 and left_out:
        raise UserMistake(f"Nothing is left to compare; {' '.join(left_out.values())}")
    compared = Compared.read(named, truth)
    traits = None if gtf is None else gene_traits(read_gtf(gtf), read_genome(fasta) if fasta else None)
    agreed = agreement(compared, genes)
    agreed = replace(agreed, note=" ".join((agreed.note, *left_out.values())))
    tables = (agreed, *differing_genes(compared, traits or {}, top=top))
    for table, file in zip(tables, (out, reasons, differing), strict=True):
        _say(table.to_text() + "\n")
        if file is not None:
            table.write(file)
    if figure is not None:
        draw(compared, figure, traits)


def _say(line: str) -> None:
    print(line, file=sys.stderr)
