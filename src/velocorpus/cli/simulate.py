"""`velocorpus simulate`: studies whose kinetics, counts and reads are known."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()

REFERENCE, TABLES = "reference", "tables"


@app.command("simulate")
def simulate(
    preset: Annotated[str, typer.Option(help="tiny, demo, bench or count_bench (docs/simulator.md).")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Make only this: `reference`, `tables` or a sample's name. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the preset's own.")] = None,
    reads: Annotated[int | None, typer.Option(min=1000, help="Reads of count_bench, instead of 20,000,000.")] = None,
) -> None:
    """Simulate studies whose kinetics, counts and reads are known."""
    import dataclasses

    from velocorpus.files import write_text
    from velocorpus.simulate import deep, presets, products, tables

    if preset == deep.DeepSample.name:
        default = deep.DeepSample()
        sample = dataclasses.replace(
            default, seed=default.seed if seed is None else seed, n_reads=reads or default.n_reads
        )
        if only:
            raise UserMistake(f"Preset '{preset}' is one sample and made whole; leave --only out.")
        deep.write_deep_sample(sample, out / preset, lambda line: typer.echo(line, err=True))
        return
    if reads is not None:
        raise UserMistake(f"Preset '{preset}' has a depth of its own; --reads is for {deep.DeepSample.name}.")
    plan = presets.preset(preset)
    if seed is not None:
        plan = dataclasses.replace(plan, seed=seed)
    whole = [TABLES, *([REFERENCE] if plan.has_reads else []), *(s.name for s in plan.samples)]
    for name in only or ():
        if name not in whole:
            raise UserMistake(f"Preset '{preset}' makes no '{name}'; it makes {', '.join(whole)}.")
    for name in only or whole:
        if name == TABLES:
            for file, text in tables.render(plan, str(out)).items():
                write_text(out / file, text)
        elif name == REFERENCE:
            products.write_reference(plan, out)
        else:
            products.write_sample(plan, plan.sample(name), out / name)
        typer.echo(f"simulate: {name}", err=True)
