"""`velocorpus simulate`: studies whose kinetics, counts and reads are known."""

from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()

REFERENCE, TABLES = "reference", "tables"


@app.command("simulate")
def simulate(
    preset: Annotated[str, typer.Option(help="tiny, demo or bench (docs/simulator.md).")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    only: Annotated[
        list[str] | None,
        typer.Option(help="Make only this: `reference`, `tables` or a sample's name. Repeatable."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Another seed than the preset's own.")] = None,
) -> None:
    """Simulate studies whose kinetics, counts and reads are known."""
    import dataclasses

    from velocorpus.files import write_text
    from velocorpus.simulate import presets, products, tables

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
