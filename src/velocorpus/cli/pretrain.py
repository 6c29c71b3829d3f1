"""`velocorpus pretrain` and `velocorpus embed`: train the encoder, and use it."""

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


@app.command("embed")
def embed_command(
    cells: Annotated[Path, typer.Argument(help="An h5ad with layers `spliced` and `unspliced`.")],
    model: Annotated[Path, typer.Option(help="A model directory, of the encoder or of any decoder.")],
    out: Annotated[Path, typer.Option(help="The h5ad to write: the same with obsm X_zorro_*.")],
    batch_cells: Annotated[int, typer.Option(min=1, help="Cells in one batch.")] = 128,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Embed the cells of an AnnData: obsm X_zorro_spliced, _unspliced, _fusion and _global."""
    import torch

    from velocorpus.counting.anndata_file import read_anndata
    from velocorpus.errors import mistakes_in
    from velocorpus.files import replacing
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.velocity.embed import embed

    torch.set_num_threads(threads)
    adata = read_anndata(cells, "file of cells")
    pretrained = load_pretrained(model)
    with mistakes_in(cells):
        unmapped = embed(adata, pretrained, batch_cells=batch_cells)
    typer.echo(
        f"embed: {adata.n_obs} cells; {adata.n_vars - len(unmapped)} of {adata.n_vars} genes are in the model's "
        f"vocabulary, {len(unmapped)} are not and were left out"
        + (f" (first: {', '.join(unmapped[:3])})" if unmapped else ""),
        err=True,
    )
    with replacing(out) as aside:
        adata.write_h5ad(aside)
