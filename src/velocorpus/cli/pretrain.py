"""`velocorpus pretrain`: train the encoder."""

import os
import sys
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
    processes: Annotated[int, typer.Option(min=1, help="Processes that train together on this machine.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda (each process its own), or cuda:1 …")] = "cpu",
    tensorboard: Annotated[Path | None, typer.Option(help="A folder for TensorBoard, where that is installed.")] = None,
) -> None:
    """Pretrain the Zorro encoder on a corpus; on the GPUs of a machine: --processes 8 --device cuda.

    On several machines a launcher starts the processes (docs/training.md). Stopped by SIGTERM or SIGUSR1 it saves and
    ends with 75: run again with --resume.
    """
    from velocorpus.training.launch import run_ranks
    from velocorpus.training.stopping import asked_to_stop

    if processes > 1 and "WORLD_SIZE" not in os.environ:
        raise typer.Exit(run_ranks([sys.executable, "-m", "velocorpus.cli.main", *sys.argv[1:]], processes))
    with asked_to_stop():
        import torch

        from velocorpus.config import TrainingConfig, load
        from velocorpus.model.device import device_of
        from velocorpus.training.pretrain import pretrain
        from velocorpus.training.ranks import joined

        sections = load(TrainingConfig, config)
        torch.set_num_threads(threads)
        with joined(device_of(device)) as world:
            pretrain(corpus, sections.model, sections.pretrain, out, resume=resume, world=world, board=tensorboard)
