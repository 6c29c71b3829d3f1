"""`velocorpus corpus publish`, `pull` and `card`: give a corpus away, and take one."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer()

Folder = Annotated[Path, typer.Argument(help="The corpus directory.", show_default=False)]
Address = Annotated[str, typer.Argument(help="s3://bucket/folder", show_default=False)]
Config = Annotated[Path | None, typer.Option(help="config.yaml, for its section `fetch`.")]
Endpoint = Annotated[str | None, typer.Option(help="Address of a store that speaks S3; else Amazon's.")]
Parallel = Annotated[int | None, typer.Option(min=1, max=64, help="Files at once.")]
Retries = Annotated[int | None, typer.Option(min=0, help="More tries of a request after it broke.")]
Payer = Annotated[bool, typer.Option("--requester-pays", help="You pay for what you ask of the bucket.")]


def _how(config: Path | None, **given: Any) -> Any:
    """The section `fetch` of the configuration, or its defaults, with the options that were given."""
    from velocorpus.config import FetchConfig, WorkflowConfig, load, parse

    how = load(WorkflowConfig, config).fetch if config else FetchConfig()
    return parse(FetchConfig, how.model_dump() | {k: v for k, v in given.items() if v}, "options")


@app.command()
def publish(
    folder: Folder,
    address: Address,
    public: Annotated[bool, typer.Option("--public", help="Let anyone read each object (an ACL).")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Then remove what this version does not name.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take another corpus there away first.")] = False,
    requester_pays: Payer = False,
    endpoint: Endpoint = None,
    parallel: Parallel = None,
    retries: Retries = None,
    config: Config = None,
) -> None:
    """Bring a corpus to S3, verified, only what is not there yet, the manifest last."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.corpus.sharing import publish as publishing
    from velocorpus.corpus.sharing.card import without_licence
    from velocorpus.reads.fetch.parts import amount

    unlicensed = without_licence(Corpus(folder))
    if unlicensed:
        print(
            f"The licence of {len(unlicensed)} studies is not known; {folder}/studies.tsv may say it.", file=sys.stderr
        )
    how = _how(config, s3_endpoint=endpoint, s3_requester_pays=requester_pays, parallel=parallel, retries=retries)
    done = publishing.publish(folder, address, how=how, public=public, prune=prune, replace=replace)
    print(
        f"{address}: {done.sent} objects sent ({amount(done.sent_bytes)}), {done.equal} were there, "
        f"{done.removed} removed",
        file=sys.stderr,
    )


@app.command()
def pull(
    address: Address,
    out: Annotated[Path, typer.Option(help="The corpus directory to make, or an earlier version to bring up.")],
    split: Annotated[list[str] | None, typer.Option(help="Only this split (repeat).")] = None,
    study: Annotated[list[str] | None, typer.Option(help="Only this study (repeat).")] = None,
    organism: Annotated[list[str] | None, typer.Option(help="Only this organism (repeat).")] = None,
    version: Annotated[int | None, typer.Option(help="An earlier version; else the newest.")] = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Ask a public bucket without credentials.")] = False,
    requester_pays: Payer = False,
    endpoint: Endpoint = None,
    parallel: Parallel = None,
    retries: Retries = None,
    config: Config = None,
) -> None:
    """Bring a published corpus, or a part of it, here, every file verified."""
    from velocorpus.corpus.info import corpus_figures
    from velocorpus.corpus.reader import Corpus
    from velocorpus.corpus.sharing import pull as pulling

    given = {"s3_endpoint": endpoint, "s3_unsigned": unsigned, "s3_requester_pays": requester_pays}
    how = _how(config, parallel=parallel, retries=retries, **given)
    where = {"split": split or (), "study": study or (), "organism": organism or ()}
    pulling.pull(address, out, where=where, version=version, how=how)
    figures = corpus_figures(Corpus(out))
    print(f"{out}: {figures['cells']} cells of {figures['samples']} samples, verified", file=sys.stderr)


@app.command()
def card(folder: Folder) -> None:
    """Write the dataset card (README.md, and studies.tsv to be filled in) into a corpus directory."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.corpus.sharing.card import write_card

    write_card(Corpus(folder), folder)
