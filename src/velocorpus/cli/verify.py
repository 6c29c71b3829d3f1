"""`velocorpus verify`: check that a model was trained on a corpus."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("verify")
def verify_command(
    model: Annotated[Path, typer.Argument(help="A model directory.")],
    corpus: Annotated[Path, typer.Argument(help="The corpus directory that it should come from.")],
) -> None:
    """Check that a model was trained on a corpus: digest of the manifest, and the vocabulary gene by gene."""
    from velocorpus.training.verify import verify

    typer.echo(verify(model, corpus))
