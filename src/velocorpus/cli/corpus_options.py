"""Options that several commands on corpora share."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.config import CellsConfig, CorpusConfig

CELLS, CORPUS = CellsConfig(), CorpusConfig()

Inputs = Annotated[list[Path], typer.Argument(help="counts.h5ad or outcome.json of each sample.", show_default=False)]
SamplesTable = Annotated[Path | None, typer.Option(help="samples.tsv: study, organism, tissue, … of each sample.")]
Vocab = Annotated[Path | None, typer.Option(help="A vocabulary table whose tokens are kept; new genes follow.")]
MinCounts = Annotated[int, typer.Option(help="A cell is kept when its spliced counts reach this.")]
MinGeneCounts = Annotated[int, typer.Option(help="A gene is kept when its spliced counts over kept cells reach this.")]
Cut = Annotated[
    list[str] | None,
    typer.Option(help="A further bound, say max_mitochondrial_fraction=0.2 (repeat); what is not known passes."),
]
Validation = Annotated[list[str] | None, typer.Option(help="A study held out for validation (repeat).")]
Test = Annotated[list[str] | None, typer.Option(help="A study held out for the final judgement (repeat).")]
Seed = Annotated[int, typer.Option(help="Shuffles the cells within a shard.")]
GroupSamples = Annotated[int, typer.Option(help="Samples in one shard group.")]
HoldOut = Annotated[
    list[str] | None,
    typer.Option(help="Hold out whole studies by what they hold, e.g. test:tissue=lung (repeat); needs --samples."),
]
Because = Annotated[str, typer.Option(help="Why; the manifest keeps it.")]
By = Annotated[str, typer.Option(help="Who says so; the manifest keeps it.")]
Version = Annotated[int | None, typer.Option(help="An older version, as far as its shards are there.")]
Folder = Annotated[Path, typer.Argument(help="The corpus directory.", show_default=False)]


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr)
