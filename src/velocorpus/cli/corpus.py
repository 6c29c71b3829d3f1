"""`velocorpus corpus`: build, grow, verify and export the corpus."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.config import CellsConfig, CorpusConfig

app = typer.Typer(no_args_is_help=True)

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
) -> None:
    """Write the shards of one group of samples: one file per split, empty where the split has no cell."""
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.totals import sample_name
    from velocorpus.corpus.vocabulary import Vocabulary
    from velocorpus.corpus.writer import write_shards

    write_shards(
        {sample_name(path): path for path in counts},
        out_dir,
        group=group,
        vocabulary=Vocabulary.read(vocab),
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
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
) -> None:
    """Write manifest.json, genes.feather and samples.feather over finished shards."""
    from velocorpus.corpus.manifest import write_manifest
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.totals import Totals
    from velocorpus.corpus.vocabulary import Vocabulary

    write_manifest(
        out,
        shards=shards,
        totals=[Totals.read(path) for path in totals],
        vocabulary=Vocabulary.read(vocab),
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        min_gene_counts=min_gene_counts,
    )


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
    group_samples: GroupSamples = _CORPUS.group_samples,
) -> None:
    """Add samples: new shards and the next version of the manifest; no shard is rewritten."""
    from velocorpus.corpus import build as building
    from velocorpus.corpus.plan import Splits, read_samples

    splits = Splits(tuple(validation_study or ()), tuple(test_study or ()))
    building.add(folder, counts, samples=read_samples(samples), splits=splits, group_samples=group_samples, say=_say)


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
) -> None:
    """Cells, genes, bytes per cell and bits per nonzero, per study."""
    from velocorpus.corpus.info import corpus_table
    from velocorpus.corpus.reader import Corpus

    table = corpus_table(Corpus(folder))
    print(table.to_text())
    if json is not None:
        table.write(json)


@app.command()
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="The h5ad to write.")],
    study: Annotated[list[str] | None, typer.Option(help="Only this study (repeat).")] = None,
    sample: Annotated[list[str] | None, typer.Option(help="Only this sample (repeat).")] = None,
    split: Annotated[str | None, typer.Option(help="Only this split.")] = None,
    kept_genes: Annotated[bool, typer.Option(help="Leave out counts of genes that fail the filter.")] = False,
) -> None:
    """Write cells as an AnnData with the three layers."""
    from velocorpus.corpus.export import to_anndata
    from velocorpus.corpus.reader import Corpus
    from velocorpus.files import replacing

    corpus = Corpus(folder)
    cells = corpus.read(split, studies=study or None, samples=sample or None, all_genes=not kept_genes)
    adata = to_anndata(corpus, cells)
    with replacing(out) as aside:
        adata.write_h5ad(aside, compression="gzip")
    _say(f"{out}: {adata.n_obs} cells, {adata.n_vars} genes")
