"""`velocorpus corpus`: build, grow, verify and export the corpus."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.cli import corpus_change, corpus_jobs, publish
from velocorpus.cli.corpus_options import (
    CELLS,
    CORPUS,
    Cut,
    Folder,
    GroupSamples,
    HoldOut,
    Inputs,
    MinCounts,
    MinGeneCounts,
    SamplesTable,
    Seed,
    Test,
    Validation,
    Version,
    Vocab,
    say,
)

app = typer.Typer(no_args_is_help=True)
for commands in (corpus_jobs, corpus_change, publish):
    app.add_typer(commands.app)


@app.command()
def build(
    counts: Inputs,
    out: Annotated[Path, typer.Option(help="The corpus directory to make.")],
    samples: SamplesTable = None,
    vocab: Vocab = None,
    min_counts: MinCounts = CELLS.min_counts,
    min_gene_counts: MinGeneCounts = CELLS.min_gene_counts,
    cut: Cut = None,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
    group_samples: GroupSamples = CORPUS.group_samples,
    seed: Seed = CORPUS.seed,
) -> None:
    """Build a corpus from per-sample counts in one process; the same bytes as the workflow's parallel jobs."""
    from velocorpus.cells.filter import Cuts
    from velocorpus.corpus.building.build import build as build_corpus
    from velocorpus.corpus.plan import Splits, read_samples
    from velocorpus.corpus.vocabulary import EMPTY, Vocabulary

    build_corpus(
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
        cuts=Cuts.parse(cut or ()),
        say=say,
    )


@app.command()
def add(
    folder: Folder,
    counts: Inputs,
    samples: SamplesTable = None,
    validation_study: Validation = None,
    test_study: Test = None,
    hold_out: HoldOut = None,
    group_samples: GroupSamples = CORPUS.group_samples,
) -> None:
    """Add samples: new shards and the next version of the manifest; no shard is rewritten."""
    from velocorpus.corpus.changing.samples import add as add_samples
    from velocorpus.corpus.plan import Splits, read_samples

    add_samples(
        folder,
        counts,
        samples=read_samples(samples),
        splits=Splits(tuple(validation_study or ()), tuple(test_study or ())),
        hold_out=hold_out or (),
        group_samples=group_samples,
        say=say,
    )


@app.command()
def verify(folder: Folder) -> None:
    """Check every byte, digest and total; each fault is named, exit code 2."""
    from velocorpus.corpus.verify import verify as verify_corpus
    from velocorpus.errors import UserMistake

    faults = verify_corpus(folder)
    if len(faults) == 1:
        raise UserMistake(faults[0])
    for fault in faults:
        say(f"velocorpus: {fault}")
    if faults:
        raise UserMistake(f"The corpus {folder} has {len(faults)} fault(s), named above.")
    say(f"{folder} is whole.")


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
        from velocorpus.corpus.changing.part import write_part

        if kept_genes:
            raise UserMistake("A corpus holds all genes and filters on reading; leave --kept-genes out.")
        write_part(corpus, out, split=split, where=where, cells=listed, say=say)
        return
    from velocorpus.corpus.export import to_anndata

    adata = to_anndata(corpus, corpus.read(split, where=where, cells=listed, all_genes=not kept_genes))
    with replacing(out) as aside:
        adata.write_h5ad(aside, compression="gzip")
    say(f"{out}: {adata.n_obs} cells, {adata.n_vars} genes")
