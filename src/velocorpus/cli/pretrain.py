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
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda (under torchrun each process its own), or cuda:1 …")] = "cpu",
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for TensorBoard, where that is installed.")] = None,
) -> None:
    """Pretrain the Zorro encoder on a corpus; on several GPUs or machines under torchrun.

    torchrun --standalone --nproc-per-node 4 --no-python velocorpus pretrain --device cuda …
    """
    import torch

    from velocorpus.config import TrainingConfig, load
    from velocorpus.model.device import device_of
    from velocorpus.training.pretrain import pretrain
    from velocorpus.training.ranks import joined

    sections = load(TrainingConfig, config)
    torch.set_num_threads(threads)
    with joined(device_of(device)) as world:
        pretrain(corpus, sections.model, sections.pretrain, out, resume=resume, world=world, board=tensorboard)
