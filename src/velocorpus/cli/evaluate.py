"""`velocorpus evaluate encoder|expression|velocity|trajectory`: a table (JSON), and a figure for each decoder."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True)

CorpusPath = Annotated[Path, typer.Option("--corpus", help="Directory of the corpus.")]
Out = Annotated[Path, typer.Option(help="The table to write (JSON).")]
FigurePath = Annotated[Path | None, typer.Option(help="The figure to write (png or svg).")]
Split = Annotated[str, typer.Option(help="Split whose studies are judged; choose on validation, never on test.")]


@app.callback()
def evaluate() -> None:
    """Judge decoders against baselines, scVelo and the truth."""


@app.command("encoder")
def encoder(
    model: Annotated[list[Path], typer.Option(help="An encoder's directory. Repeat it for other seeds.")],
    corpus: CorpusPath,
    out: Out,
    truth: Annotated[list[Path] | None, typer.Option(help="truth.h5ad with times of the cells. Repeatable.")] = None,
    representation: Annotated[
        list[str] | None,
        typer.Option(help="NAME=cells.h5ad: each array of its obsm is a further row, of the same cells. Repeatable."),
    ] = None,
    representations_out: Annotated[
        Path | None, typer.Option(help="An h5ad to write: what was judged, as obsm, for other tools.")
    ] = None,
    split: Split = "test",
    max_cells: Annotated[int, typer.Option(min=20, help="Of a study with more cells so many are drawn.")] = 1000,
    training_cells: Annotated[
        int, typer.Option(min=20, help="Of each training study, for the baselines to learn from.")
    ] = 300,
    seed: Annotated[int, typer.Option(min=0, help="Draws cells, folds and the bootstrap.")] = 0,
) -> None:
    """The encoder's outputs against PCA and CCA: views found from each other, label, time, mixing."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.evaluation.encoder import clocks, evaluate_encoder
    from velocorpus.evaluation.representations import read_representations
    from velocorpus.model.pretrained import load_pretrained

    table = evaluate_encoder(
        [load_pretrained(path) for path in model],
        Corpus(corpus),
        clock=clocks(truth or []),
        given=read_representations(representation or []),
        written=representations_out,
        split=split,
        max_cells=max_cells,
        training_cells=training_cells,
        seed=seed,
    )
    table.write(out)
    typer.echo(table.to_text())


@app.command("expression")
def expression(
    model: Annotated[Path, typer.Option(help="Directory that `finetune expression` has written.")],
    corpus: CorpusPath,
    out: Out,
    figure: FigurePath = None,
    split: Split = "test",
    seed: Annotated[int, typer.Option(help="Draws what is hidden.")] = 0,
) -> None:
    """The expression decoder against constants, per-gene means and medians, and nearest neighbours."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.evaluation.expression import evaluate_expression
    from velocorpus.evaluation.figures import bars
    from velocorpus.model.pretrained import load_pretrained

    table = evaluate_expression(load_pretrained(model), Corpus(corpus), split=split, seed=seed)
    table.write(out)
    typer.echo(table.to_text())
    if figure is not None:
        bars(
            table,
            figure,
            label="method",
            values=("MSE hidden", "MAE hidden", "Pearson per gene"),
            where={"layer": "spliced"},
            title="Hidden spliced counts of studies never seen",
        )


@app.command("velocity")
def velocity(
    model: Annotated[list[Path], typer.Option(help="Directory that `finetune velocity` has written. Repeatable.")],
    corpus: CorpusPath,
    truth: Annotated[list[Path], typer.Option(help="targets.h5ad of kind truth of the split's studies. Repeatable.")],
    out: Out,
    scvelo: Annotated[
        list[Path] | None, typer.Option(help="targets.h5ad by scVelo of the same studies, to compare. Repeatable.")
    ] = None,
    figure: FigurePath = None,
    split: Split = "test",
) -> None:
    """Velocity decoders and scVelo against the truth."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.evaluation.figures import bars
    from velocorpus.evaluation.velocity import MEAN, evaluate_velocity
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.velocity.targets import read_targets

    models = [load_pretrained(path) for path in model]
    labels = {f"velocorpus ({m.config.get('decoder', {}).get('mode')})": m for m in models}
    table = evaluate_velocity(
        labels,
        Corpus(corpus),
        [read_targets(path) for path in truth],
        [read_targets(path) for path in scvelo or ()],
        split=split,
    )
    table.write(out)
    typer.echo(table.to_text())
    if figure is not None:
        bars(
            table,
            figure,
            label="method",
            values=("cosine", "cosine z-scaled", "Spearman per gene"),
            where={"study": MEAN},
            title="Agreement with the true velocity, mean over studies never seen",
        )


@app.command("trajectory")
def trajectory(
    model: Annotated[Path, typer.Option(help="Directory that `finetune trajectory` has written.")],
    corpus: CorpusPath,
    truth: Annotated[list[Path], typer.Option(help="truth.h5ad of the test studies' samples. Repeatable.")],
    out: Out,
    figure: FigurePath = None,
    step: Annotated[float, typer.Option(min=0.01, max=0.5, help="The step, as a share of a study's time span.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Draws the generated cells.")] = 0,
) -> None:
    """Cells generated one step on against the cells that really come later."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.evaluation.figures import bars
    from velocorpus.evaluation.trajectory import MEAN, judge_model
    from velocorpus.model.pretrained import load_pretrained

    table = judge_model(load_pretrained(model), Corpus(corpus), truth, step=step, seed=seed)
    table.write(out)
    typer.echo(table.to_text())
    if figure is not None:
        bars(
            table,
            figure,
            label="prediction",
            values=("energy distance", "sliced Wasserstein"),
            where={"study": MEAN},
            title="Distance to the cells that really come later, mean over studies never seen",
        )
