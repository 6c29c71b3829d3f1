"""`velocorpus embed`: what the encoder makes of the cells of an AnnData."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("embed")
def embed_command(
    cells: Annotated[Path, typer.Argument(help="An h5ad with raw layers `spliced` and `unspliced`.")],
    model: Annotated[
        str,
        typer.Option(help="A model directory, of the encoder or of any decoder; or its id on the Hugging Face hub."),
    ],
    out: Annotated[Path, typer.Option(help="The h5ad to write: a copy with obsm X_zorro_*.")],
    revision: Annotated[str | None, typer.Option(help="Commit, tag or branch of a model on the hub.")] = None,
    batch_cells: Annotated[int, typer.Option(min=1, help="Cells in one batch.")] = 128,
    seed: Annotated[int, typer.Option(min=0, help="Draws the genes of cells that have too many.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<n>.")] = "cpu",
) -> None:
    """Embed the cells of an AnnData: obsm X_zorro_spliced, _unspliced, _fusion and _global."""
    import torch

    from velocorpus.model.device import device_of
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.velocity.embed import embed_file
    from velocorpus.velocity.study import warn

    torch.set_num_threads(threads)
    pretrained = load_pretrained(model, revision=revision)
    run = embed_file(cells, pretrained, out, batch_cells=batch_cells, seed=seed, device=device_of(device))
    warn("embed", run.warnings())
    unmapped = run.unmapped
    typer.echo(
        f"embed: {run.shape[0]} cells; {run.adata.n_vars - len(unmapped)} of {run.adata.n_vars} genes are in the "
        f"model's vocabulary, {len(unmapped)} are not and were left out"
        + (f" (first: {', '.join(unmapped[:3])})" if unmapped else ""),
        err=True,
    )
