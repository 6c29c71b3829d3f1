"""`velocorpus finetune expression|velocity|trajectory`: one decoder on a pretrained encoder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from velocorpus.errors import UserMistake

if TYPE_CHECKING:
    from velocorpus.config import TrainingConfig

app = typer.Typer(no_args_is_help=True)

Model = Annotated[Path, typer.Option(help="Directory of the pretrained encoder.")]
CorpusPath = Annotated[Path, typer.Option("--corpus", help="Directory of the corpus.")]
Out = Annotated[Path, typer.Option(help="Directory to write: the decoder with its encoder.")]
Config = Annotated[Path | None, typer.Option(help="A file of config/models; defaults without one.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where a killed run stopped.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or cuda:<n>.")]


@app.callback()
def finetune() -> None:
    """Fine-tune a decoder: expression, velocity or trajectory."""


@app.command("expression")
def expression(
    model: Model, corpus: CorpusPath, out: Out, config: Config = None, resume: Resume = False, device: Device = "cpu"
) -> None:
    """Fine-tune the expression decoder."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.model.device import device_of
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.training.finetune_expression import finetune_expression

    finetune_expression(
        load_pretrained(model),
        Corpus(corpus),
        _training(config).finetune.expression,
        out,
        resume=resume,
        device=device_of(device),
    )


@app.command("velocity")
def velocity(
    model: Model,
    corpus: CorpusPath,
    out: Out,
    targets: Annotated[list[Path], typer.Option(help="targets.h5ad of a study. Repeatable.")],
    config: Config = None,
    mode: Annotated[
        str, typer.Option(help="neighbours (the study's context) or none (one cell alone; weak).")
    ] = "neighbours",
    resume: Resume = False,
    device: Device = "cpu",
) -> None:
    """Fine-tune the velocity decoder on targets of training studies."""
    from velocorpus.corpus.reader import Corpus
    from velocorpus.model.device import device_of
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.model.velocity import MODES
    from velocorpus.training.finetune_velocity import finetune_velocity
    from velocorpus.velocity.targets import read_targets

    if mode not in MODES:
        raise UserMistake(f"There is no mode '{mode}'; there are {', '.join(MODES)}.")
    finetune_velocity(
        load_pretrained(model),
        Corpus(corpus),
        [read_targets(path) for path in targets],
        _training(config).finetune.velocity,
        out,
        mode=mode,
        resume=resume,
        device=device_of(device),
    )


@app.command("trajectory")
def trajectory(
    model: Model,
    corpus: CorpusPath,
    out: Out,
    transitions: Annotated[list[Path], typer.Option(help="Table of pairs of a study. Repeatable.")],
    config: Config = None,
    resume: Resume = False,
    device: Device = "cpu",
) -> None:
    """Fine-tune the generative decoder on transitions of training studies."""
    from velocorpus.model.device import device_of
    from velocorpus.training.finetune_trajectory import finetune_trajectory

    finetune_trajectory(
        model,
        corpus,
        transitions,
        out,
        _training(config).finetune.trajectory,
        resume=resume,
        device=device_of(device),
    )


def _training(config: Path | None) -> "TrainingConfig":
    from velocorpus.config import TrainingConfig, load

    return load(TrainingConfig, config) if config is not None else TrainingConfig()
