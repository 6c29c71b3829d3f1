"""`--outcome FILE` for the commands that make one sample's counts."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

OutcomeOption = Annotated[
    Path | None,
    typer.Option(help="Write ok, or refused and why, here, and exit 0 either way: the other samples go on."),
]


def records_outcome(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command with `sample`, `out` and `outcome` record a user's mistake in `outcome` instead of raising it."""

    @functools.wraps(command)
    def recorded(*args: Any, **options: Any) -> None:
        from velocorpus.counting.outcome import recording_outcome

        if options["outcome"] is None:
            command(*args, **options)
        else:
            with recording_outcome(options["outcome"], options["sample"], options["out"]):
                command(*args, **options)

    return recorded
