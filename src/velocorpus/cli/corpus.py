"""`velocorpus corpus`: build, grow, verify and export the corpus."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.cli import publish
from velocorpus.config import CellsConfig, CorpusConfig

app = typer.Typer(no_args_is_help=True)
app.add_typer(publish.app)

_CELLS, _CORPUS = CellsConfig(), CorpusConfig()

Inputs = Annotated[list[Path], typer.Argument(help="counts.h5ad or outcome.json of each sample.", show_default=False)]
SamplesTable = Annotated[Path | None, typer.Option(help="samples.tsv: study, organism, tissue, … of each sample.")]
Vocab = Annotated[Path | None, typer.Option(help="A vocabulary table whose tokens are kept; new genes follow.")]
MinCounts = Annotated[int, typer.Option(help="A cell is kept when its spliced counts reach this.")]
MinGeneCounts = Annotated[int, typer.Option(help="A gene is kept when its spliced counts over kept cells reach this.")]
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


def _say(line: str) -> None:
    print(line, file=sys.stderr)


@app.command()
def totals(
    counts: Annotated[Path, typer.Argument(help="counts.h5ad or outcome.json of one sample.")],
    out: Annotated[Path, typer.Option(help="The totals file to write.")],
    min_counts: MinCounts = _CELLS.min_counts,
) -> None:
    """Gene sums of one sample over its kept cells (first job of the workflow's four)."""
    from velocorpus.corpus.totals import sample_totals

    one = sample_totals(counts, min_counts=min_counts)
    one.write(out)
    _say(
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
    from velocorpus.corpus.build import organisms_of
    from velocorpus.corpus.plan import read_samples
    from velocorpus.corpus.totals import Totals, build_vocabulary
    from velocorpus.corpus.vocabulary import EMPTY, Vocabulary

    every = [Totals.read(path) for path in totals]
    base = Vocabulary.read(vocab) if vocab else EMPTY
    made = build_vocabulary(every, organisms_of(every, read_samples(samples)), base)
    made.as_vocabulary().write(out)
    _say(f"{len(made)} genes of {len(made.first)} organisms, {len(base)} of them given")


@app.command()
def shard(
    counts: Inputs,
    vocab: Annotated[Path, typer.Option(help="The vocabulary table.")],
    group: Annotated[str, typer.Option(help="Name of the shard group, e.g. g00000.")],
    out_dir: Annotated[Path, typer.Option(help="Folder of shards; one file <group>.<split>.feather per split.")],
    samples: SamplesTable = None,
    min_counts: MinCounts = _CELLS.min_counts,
    seed: Seed = _CORPUS.seed,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
) -> None:
    """Write the shards of one group of samples: one file per split, empty where the split has no cell."""
    from velocorpus.corpus.holdout import hold_out as held_out
    from velocorpus.corpus.lock import locked
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.totals import sample_name
    from velocorpus.corpus.vocabulary import Vocabulary
    from velocorpus.corpus.writer import write_shards

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
        )


@app.command()
def manifest(
    shards: Annotated[list[Path], typer.Option(help="Every shard file (repeat), in <out>/shards.")],
    totals: Annotated[list[Path], typer.Option(help="Every totals file (repeat).")],
    vocab: Annotated[Path, typer.Option(help="The vocabulary table.")],
    out: Annotated[Path, typer.Option(help="The corpus directory.")],
    samples: SamplesTable = None,
    min_gene_counts: MinGeneCounts = _CELLS.min_gene_counts,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
) -> None:
    """Write manifest.json, genes.feather and samples.feather over finished shards."""
    from velocorpus.corpus.duplicates import in_words
    from velocorpus.corpus.holdout import hold_out as held_out
    from velocorpus.corpus.lock import locked
    from velocorpus.corpus.manifest import write_manifest
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.reader import Corpus
    from velocorpus.corpus.totals import Totals
    from velocorpus.corpus.vocabulary import Vocabulary

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
        _say(in_words(pair))


@app.command()
def build(
    counts: Inputs,
    out: Annotated[Path, typer.Option(help="The corpus directory to make.")],
    samples: SamplesTable = None,
    vocab: Vocab = None,
    min_counts: MinCounts = _CELLS.min_counts,
    min_gene_counts: MinGeneCounts = _CELLS.min_gene_counts,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
    group_samples: GroupSamples = _CORPUS.group_samples,
    seed: Seed = _CORPUS.seed,
) -> None:
    """Build a corpus from per-sample counts in one process; the same bytes as the workflow's parallel jobs."""
    from velocorpus.corpus import build as building
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.vocabulary import EMPTY, Vocabulary

    building.build(
        counts,
        out,
        samples=read_samples(samples),
        base=Vocabulary.read(vocab) if vocab else EMPTY,
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        hold_out=hold_out or (),
        min_counts=min_counts,
        min_gene_counts=min_gene_counts,
        group_samples=group_samples,
        seed=seed,
        say=_say,
    )


@app.command()
def add(
    folder: Folder,
    counts: Inputs,
    samples: SamplesTable = None,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
    group_samples: GroupSamples = _CORPUS.group_samples,
) -> None:
    """Add samples: new shards and the next version of the manifest; no shard is rewritten."""
    from velocorpus.corpus import build as building
    from velocorpus.corpus.plan import Splits, read_samples

    building.add(
        folder,
        counts,
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        hold_out=hold_out or (),
        group_samples=group_samples,
        say=_say,
    )


@app.command()
def remove(
    folder: Folder,
    sample: Annotated[list[str], typer.Argument(help="Samples to take out.")],
    because: Because,
    by: By = "",
) -> None:
    """Take samples out, on record: the next version; only shards that hold them are written anew."""
    from velocorpus.corpus import build as building

    building.remove(folder, sample, because=because, by=by, say=_say)


@app.command()
def replace(
    folder: Folder,
    counts: Inputs,
    because: Because,
    by: By = "",
    samples: SamplesTable = None,
    validation_study: Validation = None,
    test_study: Test = None,
    group_samples: GroupSamples = _CORPUS.group_samples,
) -> None:
    """Put fixed counts in the place of samples of the same names, or bring removed ones in again, on record."""
    from velocorpus.corpus import build as building
    from velocorpus.corpus.plan import Splits, read_samples

    building.replace_samples(
        folder,
        counts,
        because=because,
        by=by,
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        group_samples=group_samples,
        say=_say,
    )


@app.command()
def prune(folder: Folder) -> None:
    """Delete shards that only older versions name; those versions then cannot be read any more, on record."""
    from velocorpus.corpus.remove import prune as prune_shards

    _say(f"{len(prune_shards(folder, say=_say))} shards deleted")


@app.command()
def duplicates(
    folder: Folder,
    json: Annotated[Path | None, typer.Option(help="Write the pairs as JSON too.")] = None,
) -> None:
    """List pairs of samples that look like one library, by barcodes and totals of their cells."""
    from velocorpus.corpus.duplicates import duplicates as find_duplicates
    from velocorpus.corpus.duplicates import in_words
    from velocorpus.corpus.manifest import Left
    from velocorpus.corpus.reader import Corpus
    from velocorpus.files import write_json

    sketches = Left.whole(Corpus(folder)).sketches
    pairs = find_duplicates(sketches, sketches)
    for pair in pairs:
        print(in_words(pair))
    _say(f"{len(pairs)} pairs among {len(sketches)} samples")
    if json is not None:
        write_json(json, {"duplicates": pairs})


@app.command()
def verify(folder: Folder) -> None:
    """Check every byte, digest and total; each fault is named, exit code 2."""
    from velocorpus.corpus.verify import verify as verify_corpus
    from velocorpus.errors import UserMistake

    faults = verify_corpus(folder)
    if len(faults) == 1:
        raise UserMistake(faults[0])
    for fault in faults:
        _say(f"velocorpus: {fault}")
    if faults:
        raise UserMistake(f"The corpus {folder} has {len(faults)} fault(s), named above.")
    _say(f"{folder} is whole.")


@app.command()
def info(
    folder: Folder,
    json: Annotated[Path | None, typer.Option(help="Write the table as JSON too.")] = None,
    version: Version = None,
) -> None:
    """Cells, genes, bytes per cell and bits per nonzero, per study; what was removed; likely duplicates."""
    from velocorpus.corpus.info import corpus_table
    from velocorpus.corpus.reader import Corpus

    table = corpus_table(Corpus(folder, version))
    print(table.to_text())
    if json is not None:
        table.write(json)


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The h5ad to write, or the folder with --as-corpus.")],
    study: Annotated[list[str] | None, typer.Option(help="Only this study (repeat).")] = None,
    sample: Annotated[list[str] | None, typer.Option(help="Only this sample (repeat).")] = None,
    tissue: Annotated[list[str] | None, typer.Option(help="Only this tissue (repeat).")] = None,
    organism: Annotated[list[str] | None, typer.Option(help="Only this organism (repeat).")] = None,
    cells: Annotated[Path | None, typer.Option(help="Only the cells of this list, sample:barcode a line.")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    kept_genes: Annotated[bool, typer.Option(help="Leave out counts of genes that fail the filter.")] = False,
    as_corpus: Annotated[bool, typer.Option(help="Write a corpus of these cells, not an AnnData.")] = False,
    version: Version = None,
) -> None:
    """Write cells as an AnnData with the three layers, or as a corpus of their own."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.errors import UserMistake
    from velocorpus.files import open_text, replacing

    corpus, listed = Corpus(folder, version), None
    if cells is not None:
        with open_text(cells) as lines:
            listed = {line.strip() for line in lines if line.strip()}
    columns = {"study": study, "sample": sample, "tissue": tissue, "organism": organism}
    where = {column: values for column, values in columns.items() if values} or None
    if as_corpus:
        from velocorpus.corpus.part import write_part

        if kept_genes:
            raise UserMistake("A corpus holds all genes and filters on reading; leave --kept-genes out.")
        write_part(corpus, out, split=split, where=where, cells=listed, say=_say)
        return
    from velocorpus.corpus.export import to_anndata

    adata = to_anndata(corpus, corpus.read(split, where=where, cells=listed, all_genes=not kept_genes))
    with replacing(out) as aside:
        adata.write_h5ad(aside, compression="gzip")
    _say(f"{out}: {adata.n_obs} cells, {adata.n_vars} genes")
