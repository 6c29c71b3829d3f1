"""`velocorpus targets`: what the velocity decoder learns from, for one study."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("targets")
def targets(
    out: Annotated[Path, typer.Option(help="The targets.h5ad to write.")],
    teacher: Annotated[
        str,
        typer.Option(
            help="truth, scvelo_stochastic, scvelo_dynamical or scvelo_steady_state (`scvelo_` may be left out)."
        ),
    ],
    counts: Annotated[
        list[Path] | None, typer.Option(help="counts.h5ad of each sample of the study. Repeatable.")
    ] = None,
    truth: Annotated[
        list[Path] | None, typer.Option(help="truth.h5ad of each sample (teacher truth). Repeatable.")
    ] = None,
    n_top_genes: Annotated[int | None, typer.Option(help="Fit only this many most variable genes.")] = None,
    threads: Annotated[int, typer.Option(help="Processes of scVelo's dynamical fit.")] = 1,
) -> None:
    """Teacher velocities of one study, by scVelo or from the simulated truth."""
    import numpy as np

    from velocorpus.velocity import targets as teachers

    kind = teacher if teacher == teachers.TRUTH or teacher.startswith("scvelo_") else f"scvelo_{teacher}"
    if kind not in (teachers.TRUTH, *teachers.SCVELO_MODES):
        raise UserMistake(
            f"There is no teacher '{teacher}'; there are {teachers.TRUTH}, {', '.join(teachers.SCVELO_MODES)}."
        )
    if kind == teachers.TRUTH:
        if not truth:
            raise UserMistake("The teacher 'truth' needs --truth truth.h5ad, once for each sample of the study.")
        found = teachers.true_velocities(truth)
    else:
        if not counts:
            raise UserMistake(f"The teacher '{kind}' needs --counts counts.h5ad, once for each sample.")
        found = teachers.scvelo_velocities(teachers.read_study(counts), kind, n_top_genes=n_top_genes, threads=threads)
    teachers.write_targets(out, found)
    fitted = np.isfinite(found.velocity_NG).all(axis=0)
    typer.echo(
        f"targets: {len(found.cells)} cells, {int(fitted.sum())} of {len(found.genes)} genes with a velocity, "
        f"{int((found.confidence_G > 0).sum())} to learn from ({found.kind})",
        err=True,
    )
