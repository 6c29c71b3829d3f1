"""`velocorpus velocity`: velocities for the cells of an AnnData."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("velocity")
def velocity(
    cells: Annotated[Path, typer.Argument(help="An h5ad with raw layers `spliced` and `unspliced`.")],
    model: Annotated[Path, typer.Option(help="Directory that `finetune velocity` has written.")],
    out: Annotated[Path, typer.Option(help="The h5ad to write: the input with velocities.")],
    mode: Annotated[
        str | None, typer.Option(help="Refuse a model of another mode (neighbours or none); each has its own model.")
    ] = None,
    study_key: Annotated[
        str | None, typer.Option(help="Column of obs that names each cell's study; without it all cells are one study.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:<n>.")] = "cpu",
) -> None:
    """Velocities for the cells of an AnnData, in `layers["velocity"]`, ready for scVelo's graph and plots."""
    from velocorpus.counting.anndata_file import read_anndata
    from velocorpus.errors import mistakes_in
    from velocorpus.files import replacing
    from velocorpus.model.device import device_of
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.velocity.inference import add_velocities
    from velocorpus.velocity.study import warn

    pretrained = load_pretrained(model).expect("velocity")
    trained_mode = pretrained.config.get("decoder", {}).get("mode")
    if mode is not None and mode != trained_mode:
        raise UserMistake(f"{model} was trained in mode '{trained_mode}', not '{mode}'; give that mode's model.")
    adata = read_anndata(cells, "file of cells")
    with mistakes_in(cells):
        warn("velocity", add_velocities(adata, pretrained, study_key=study_key, device=device_of(device)))
    with replacing(out) as aside:
        adata.write_h5ad(aside, compression="gzip")
    typer.echo(
        f"velocity: {adata.n_obs} cells, {int(adata.var['velocity_genes'].sum())} of {adata.n_vars} genes usable, "
        f"{adata.uns['velocorpus']['genes_outside_vocabulary']} outside the vocabulary",
        err=True,
    )
