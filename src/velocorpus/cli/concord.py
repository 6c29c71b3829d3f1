"""`velocorpus concord`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from velocorpus.errors import UserMistake

app = typer.Typer()


@app.command("concord")
def concord(
    out: Annotated[Path, typer.Option(help="The table to write, as JSON.")],
    counts: Annotated[list[str], typer.Option(help="NAME=counts.h5ad; repeatable.")],
    truth: Annotated[Path | None, typer.Option(help="Simulated truth; without it, pairs are compared.")] = None,
    genes: Annotated[Path | None, typer.Option(help="Gene table; its `difficulty` breaks the errors down.")] = None,
    figure: Annotated[Path | None, typer.Option(help="A PNG to draw: gene totals against the truth.")] = None,
) -> None:
    """Compare counts of one sample with each other or with the truth."""
    from velocorpus.counting.concord import concord as compare

    named: dict[str, Path] = {}
    for item in counts:
        name, equals, path = item.partition("=")
        if not (name and equals and path) or name in named or name == "truth":
            raise UserMistake(f"--counts {item}: give NAME=counts.h5ad, each name once (and not `truth`).")
        named[name] = Path(path)
    table = compare(named, truth=truth, genes=genes, figure=figure)
    table.write(out)
    _say(table.to_text())


def _say(line: str) -> None:
    print(line, file=sys.stderr)
