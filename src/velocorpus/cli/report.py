"""`velocorpus report`: what a run is told by."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)


@app.callback()
def report() -> None:
    """Tell of a run: its corpus as a table, its losses as curves, its tables as text and HTML."""


@app.command("corpus")
def corpus(
    corpus: Annotated[Path, typer.Argument(help="The corpus directory.")],
    out: Annotated[Path, typer.Option(help="The table to write, JSON.")],
) -> None:
    """Cells, studies, molecules and bytes per cell of a corpus, per split."""
    from velocorpus.evaluation.summary import corpus_table

    corpus_table(corpus).write(out)


@app.command("curves")
def curves(
    metrics: Annotated[list[Path], typer.Argument(help="metrics.jsonl of each model, one panel each.")],
    out: Annotated[Path, typer.Option(help="The figure to write, PNG or SVG.")],
) -> None:
    """Loss curves of one or more models."""
    from velocorpus.evaluation.summary import loss_curves

    loss_curves(metrics, out)


@app.command("metrics")
def metrics_command(
    metrics: Annotated[Path, typer.Argument(help="metrics.jsonl of a model.")],
    out: Annotated[Path, typer.Option(help="The figure to write, PNG or SVG.")],
) -> None:
    """Every metric of one model's training: losses, temperature, retrieval, alignment, uniformity."""
    from velocorpus.evaluation.figures import metric_panels

    metric_panels(metrics, out)


@app.command("summary")
def summary(
    tables: Annotated[list[Path], typer.Argument(help="Tables of results (JSON), in the order to show them.")],
    out: Annotated[Path | None, typer.Option(help="The text to write; without it, printed.")] = None,
    html: Annotated[Path | None, typer.Option(help="The HTML page to write.")] = None,
) -> None:
    """All tables of a run as text for a terminal, and as one HTML page."""
    from velocorpus.evaluation import summary as page
    from velocorpus.files import write_text

    found = page.read_tables(tables)
    if out is None:
        typer.echo(page.to_text(found))
    else:
        write_text(out, page.to_text(found))
    if html is not None:
        write_text(html, page.to_html(found))
