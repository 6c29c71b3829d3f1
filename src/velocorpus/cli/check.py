"""`velocorpus check`: a configuration and its tables, checked without starting anything."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("check")
def check(
    config: Annotated[Path, typer.Option(help="The configuration (config.yaml) to check.")] = Path(
        "config/config.yaml"
    ),
) -> None:
    """Check a configuration and its tables; print what would be made."""
    from velocorpus.errors import mistakes_in
    from velocorpus.project import load_project
    from velocorpus.simulate.presets import preset

    project = load_project(config)
    if project.config.simulate.preset is not None:
        with mistakes_in(config):
            preset(project.config.simulate.preset)
    tables = project.tables
    by_quantifier = Counter(sample.quantifier for sample in tables.samples.values())
    teachers = Counter(project.teacher(study) for study in tables.studies)
    typer.echo(
        f"{config}: {len(tables.samples)} samples ({_list(by_quantifier)}), "
        f"{sum(map(len, tables.units.values()))} units, {len(tables.references)} references"
    )
    typer.echo(
        f"corpus: {len(tables.corpus_samples)} samples of {len(tables.studies)} studies in {len(project.groups)} "
        f"shard groups; held out: {'; '.join(f'{k} {_names(v)}' for k, v in vars(project.splits).items())}"
    )
    typer.echo(f"velocity targets: {_list(teachers)}; model: {project.training.model.name}")


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _names(studies: tuple[str, ...]) -> str:
    return ", ".join(studies) or "none"
