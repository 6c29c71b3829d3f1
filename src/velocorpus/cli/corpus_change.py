"""`velocorpus corpus remove`, `replace`, `prune`, `convert` and `duplicates`: change what a corpus holds, or how."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.cli.corpus_options import (
    CORPUS,
    Because,
    By,
    Folder,
    GroupSamples,
    Inputs,
    SamplesTable,
    Test,
    Validation,
    say,
)

app = typer.Typer(no_args_is_help=True)


@app.command()
def remove(
    folder: Folder,
    sample: Annotated[list[str], typer.Argument(help="Samples to take out.")],
    because: Because,
    by: By = "",
) -> None:
    """Take samples out, on record: the next version; only shards that hold them are written anew."""
    from velocorpus.corpus.changing.samples import remove as remove_samples

    remove_samples(folder, sample, because=because, by=by, say=say)


@app.command()
def replace(
    folder: Folder,
    counts: Inputs,
    because: Because,
    by: By = "",
    samples: SamplesTable = None,
    validation_study: Validation = None,
    test_study: Test = None,
    group_samples: GroupSamples = CORPUS.group_samples,
) -> None:
    """Put fixed counts in the place of samples of the same names, or bring removed ones in again, on record."""
    from velocorpus.corpus.changing.samples import replace_samples
    from velocorpus.corpus.plan import Splits, read_samples

    replace_samples(
        folder,
        counts,
        because=because,
        by=by,
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        group_samples=group_samples,
        say=say,
    )


@app.command()
def prune(folder: Folder) -> None:
    """Delete shards that only older versions name; those versions then cannot be read any more, on record."""
    from velocorpus.corpus.changing.prune import prune as prune_shards

    say(f"{len(prune_shards(folder, say=say))} shards deleted")


@app.command()
def convert(
    old: Folder,
    out: Annotated[Path, typer.Option(help="A new directory for the converted corpus.")],
) -> None:
    """Write a corpus of schema version 1, its newest version, as one that this velocorpus reads."""
    from velocorpus.corpus.changing.convert import convert as convert_corpus

    convert_corpus(old, out, say=say)


@app.command()
def duplicates(
    folder: Folder,
    json: Annotated[Path | None, typer.Option(help="Write the pairs as JSON too.")] = None,
) -> None:
    """List pairs of samples that look like one library, by barcodes and totals of their cells."""
    from velocorpus.corpus.building.manifest import Left
    from velocorpus.corpus.duplicates import duplicates as find_duplicates
    from velocorpus.corpus.duplicates import in_words
    from velocorpus.corpus.reader import Corpus
    from velocorpus.files import write_json

    sketches = Left.whole(Corpus(folder)).sketches
    pairs = find_duplicates(sketches, sketches)
    for pair in pairs:
        print(in_words(pair))
    say(f"{len(pairs)} pairs among {len(sketches)} samples")
    if json is not None:
        write_json(json, {"duplicates": pairs})
