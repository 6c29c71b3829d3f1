"""`velocorpus corpus totals`, `vocab`, `shard` and `manifest`: `build` in the parallel jobs of the workflow."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.cli.corpus_options import (
    CELLS,
    CORPUS,
    Cut,
    HoldOut,
    Inputs,
    MinCounts,
    MinGeneCounts,
    SamplesTable,
    Seed,
    Test,
    Validation,
    Vocab,
    say,
)

app = typer.Typer(no_args_is_help=True)


@app.command()
def totals(
    counts: Annotated[Path, typer.Argument(help="counts.h5ad or outcome.json of one sample.")],
    out: Annotated[Path, typer.Option(help="The totals file to write.")],
    min_counts: MinCounts = CELLS.min_counts,
    cut: Cut = None,
) -> None:
    """Gene sums of one sample over its kept cells (first job of the workflow's four)."""
    from velocorpus.cells.filter import Cuts
    from velocorpus.corpus.building.totals import sample_totals

    one = sample_totals(counts, min_counts=min_counts, cuts=Cuts.parse(cut or ()))
    one.write(out)
    say(
        f"{one.sample}: refused: {one.reason}"
        if one.refused
        else f"{one.sample}: {one.figures['cells']} of {one.figures['cells_in']} cells kept"
    )


@app.command()
def vocab(
    totals: Annotated[list[Path], typer.Argument(help="Totals files of all samples.")],
    out: Annotated[Path, typer.Option(help="The vocabulary table to write.")],
    samples: SamplesTable = None,
    vocab: Vocab = None,
) -> None:
    """Number the genes by frequency rank, after those of a given vocabulary."""
    from velocorpus.corpus.building.build import organisms_of
    from velocorpus.corpus.building.totals import Totals, build_vocabulary
    from velocorpus.corpus.plan import read_samples
    from velocorpus.corpus.vocabulary import EMPTY, Vocabulary

    every = [Totals.read(path) for path in totals]
    base = Vocabulary.read(vocab) if vocab else EMPTY
    made = build_vocabulary(every, organisms_of(every, read_samples(samples)), base)
    made.as_vocabulary().write(out)
    say(f"{len(made)} genes of {len(made.first)} organisms, {len(base)} of them given")


@app.command()
def shard(
    counts: Inputs,
    vocab: Annotated[Path, typer.Option(help="The vocabulary table.")],
    group: Annotated[str, typer.Option(help="Name of the shard group, e.g. g00000.")],
    out_dir: Annotated[Path, typer.Option(help="Folder of shards; one file <group>.<split>.feather per split.")],
    samples: SamplesTable = None,
    min_counts: MinCounts = CELLS.min_counts,
    cut: Cut = None,
    seed: Seed = CORPUS.seed,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
) -> None:
    """Write the shards of one group of samples: one file per split, empty where the split has no cell."""
    from velocorpus.cells.filter import Cuts
    from velocorpus.corpus.building.totals import sample_name
    from velocorpus.corpus.building.writer import write_shards
    from velocorpus.corpus.lock import locked
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.vocabulary import Vocabulary
    from velocorpus.splits import hold_out as held_out

    table = read_samples(samples)
    with locked(out_dir.resolve().parent, shared=True):
        write_shards(
            {sample_name(path): path for path in counts},
            out_dir,
            group=group,
            vocabulary=Vocabulary.read(vocab),
            samples=table,
            splits=held_out(Splits(tuple(validation_study or ()), tuple(test_study or ())), hold_out or (), table),
            min_counts=min_counts,
            seed=seed,
            cuts=Cuts.parse(cut or ()),
        )


@app.command()
def manifest(
    shards: Annotated[list[Path], typer.Option(help="Every shard file (repeat), in <out>/shards.")],
    totals: Annotated[list[Path], typer.Option(help="Every totals file (repeat).")],
    vocab: Annotated[Path, typer.Option(help="The vocabulary table.")],
    out: Annotated[Path, typer.Option(help="The corpus directory.")],
    samples: SamplesTable = None,
    min_gene_counts: MinGeneCounts = CELLS.min_gene_counts,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
) -> None:
    """Write manifest.json, genes.feather and samples.feather over finished shards."""
    from velocorpus.corpus.building.manifest import write_manifest
    from velocorpus.corpus.building.totals import Totals
    from velocorpus.corpus.duplicates import in_words
    from velocorpus.corpus.lock import locked
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.reader import Corpus
    from velocorpus.corpus.vocabulary import Vocabulary
    from velocorpus.splits import hold_out as held_out

    table = read_samples(samples)
    with locked(out):
        write_manifest(
            out,
            shards=shards,
            totals=[Totals.read(path) for path in totals],
            vocabulary=Vocabulary.read(vocab),
            samples=table,
            splits=held_out(Splits(tuple(validation_study or ()), tuple(test_study or ())), hold_out or (), table),
            min_gene_counts=min_gene_counts,
            hold_out=hold_out or (),
        )
    for pair in Corpus(out).manifest["duplicates"]:
        say(in_words(pair))
