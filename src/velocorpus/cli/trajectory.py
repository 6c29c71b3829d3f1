"""`velocorpus transitions` and `velocorpus trajectory`: pairs to learn from, and states that come next."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("transitions")
def transitions_command(
    out: Annotated[Path, typer.Option(help="The table of pairs to write (Feather).")],
    study: Annotated[str, typer.Option(help="The study's name in the corpus.")],
    truth: Annotated[
        list[Path] | None, typer.Option(help="truth.h5ad of each sample: pairs by the simulator's clock. Repeatable.")
    ] = None,
    counts: Annotated[
        list[Path] | None,
        typer.Option(help="counts.h5ad of each sample: pairs by scVelo's velocity graph. Repeatable."),
    ] = None,
    teacher: Annotated[str, typer.Option(help="scVelo's mode, with --counts.")] = "scvelo_stochastic",
    pairs_per_cell: Annotated[int, typer.Option(min=1, help="Pairs that begin at each cell.")] = 8,
    seed: Annotated[int, typer.Option(help="Draws the pairs.")] = 0,
) -> None:
    """Pairs of cells of one study, one a step of pseudotime after the other."""
    from velocorpus.data.transitions import SCHEMA, write_transitions
    from velocorpus.errors import UserMistake
    from velocorpus.velocity import targets
    from velocorpus.velocity.transitions import read_true_clock, transitions_from_truth, transitions_from_velocity

    if bool(truth) == bool(counts):
        raise UserMistake("Give either --truth truth.h5ad or --counts counts.h5ad, once for each sample of the study.")
    if truth:
        obs, topology = read_true_clock(truth)
        table = transitions_from_truth(obs, topology=topology, study=study, pairs_per_cell=pairs_per_cell, seed=seed)
    else:
        fitted = targets.fit_scvelo(targets.read_study(counts or []), teacher)
        table = (
            SCHEMA.empty_table()
            if fitted is None
            else transitions_from_velocity(fitted, study=study, pairs_per_cell=pairs_per_cell, seed=seed)
        )
    write_transitions(out, table)
    typer.echo(f"transitions: {table.num_rows} pairs of study {study}", err=True)


@app.command("trajectory")
def trajectory_command(
    cells: Annotated[Path, typer.Argument(help="An h5ad of one study with raw layers `spliced` and `unspliced`.")],
    model: Annotated[Path, typer.Option(help="Directory of a trajectory decoder.")],
    out: Annotated[Path, typer.Option(help="The h5ad of generated states to write.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of each trajectory.")] = 10,
    step: Annotated[float, typer.Option(min=0.01, max=0.5, help="A step, as a share of the study's time span.")] = 0.1,
    start: Annotated[
        str | None, typer.Option(help="Start from cells where COLUMN=VALUE in obs; otherwise from all.")
    ] = None,
    trajectories: Annotated[int, typer.Option(min=1, help="How many trajectories.")] = 50,
    seed: Annotated[int, typer.Option(help="Draws the starts and the states.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    figure: Annotated[Path | None, typer.Option(help="A figure of the trajectories over the embedding.")] = None,
    color: Annotated[str | None, typer.Option(help="Column of obs that colours the figure's cells.")] = None,
) -> None:
    """Generate trajectories from the cells of an AnnData."""
    import torch

    from velocorpus.counting.anndata_file import read_anndata
    from velocorpus.errors import UserMistake, mistakes_in
    from velocorpus.files import replacing
    from velocorpus.model.pretrained import load_pretrained
    from velocorpus.velocity.trajectories import draw_trajectories, generate

    torch.set_num_threads(threads)
    adata = read_anndata(cells, "file of cells")
    if color is not None and color not in adata.obs:
        raise UserMistake(f"{cells}: obs has no column '{color}'; it has {', '.join(adata.obs) or 'none'}.")
    pretrained = load_pretrained(model).expect("trajectory")
    with mistakes_in(cells):
        generated = generate(
            adata, pretrained, start=start, trajectories=trajectories, steps=steps, step=step, seed=seed
        )
    if figure is not None:
        draw_trajectories(adata, generated, figure, color=color)
    with replacing(out) as aside:
        generated.write_h5ad(aside, compression="gzip")
    typer.echo(f"trajectory: {trajectories} trajectories of {steps} steps, {generated.n_obs} states", err=True)
