"""`velocorpus pretrain`: train the encoder."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("pretrain")
def pretrain_command(
    corpus: Annotated[Path, typer.Option(help="The corpus directory.")],
    config: Annotated[Path, typer.Option(help="YAML with the sections model: and pretrain: (config/models/*.yaml).")],
    out: Annotated[Path, typer.Option(help="The model directory to make.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in OUT.partial, if there is one.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda, or cuda:1 …")] = "cpu",
) -> None:
    """Pretrain the Zorro encoder on a corpus."""
    import torch

    from velocorpus.config import TrainingConfig, load
    from velocorpus.model.device import device_of
    from velocorpus.training.pretrain import pretrain

    sections = load(TrainingConfig, config)
    torch.set_num_threads(threads)
    pretrain(corpus, sections.model, sections.pretrain, out, resume=resume, device=device_of(device))
