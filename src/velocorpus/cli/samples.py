"""`velocorpus attempt`, `again` and `status`: one bad sample never stops the rest."""

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command("attempt")
def attempt(
    stage: Annotated[str, typer.Argument(help="Which step of the sample's road this is, in one word.")],
    files: Annotated[list[str], typer.Argument(help="INPUT… :: OUTPUT… of the step.", show_default=False)],
    sample: Annotated[str, typer.Option(help="Name of the sample.")],
    log: Annotated[Path | None, typer.Option(help="Where the step's words go.")] = None,
    number: Annotated[int, typer.Option(min=1, help="Which try this is.")] = 1,
    of: Annotated[int, typer.Option(min=1, help="How many there are: the last one's failure is recorded.")] = 1,
    scratch: Annotated[Path | None, typer.Option(help="A folder of the step's own, emptied before each try.")] = None,
    skip: Annotated[str | None, typer.Option(help="Run nothing: set the sample aside for this reason.")] = None,
) -> None:
    """Run a step of one sample, a bash script on stdin; a refusal takes the place of its outputs.

    Exit code 0: the outputs are there, or the sample is set aside (refused by its files or its row, failed in the last
    try, skipped) and each output says so. Any other: the step's own, and another try may succeed. A try after the
    last one runs nothing: none before it lived to record what it met, so the sample is set aside for that.
    """
    from velocorpus.errors import UserMistake
    from velocorpus.outcomes import attempt as attempts
    from velocorpus.outcomes.outcome import Outcome

    if "::" not in files or files[-1] == "::":
        raise UserMistake("Give the files as INPUT… :: OUTPUT…, with one output at least.")
    given, made = files[: files.index("::")], files[files.index("::") + 1 :]
    outputs = list(map(Path, made))
    if skip is not None:
        attempts.set_aside(Outcome(sample, "skipped", skip, stage=stage), outputs)
        return
    if number > of:
        attempts.give_up(sample=sample, stage=stage, tries=of, made=outputs, scratch=scratch)
        return
    if log is None:
        raise UserMistake("--log is missing: say where the step's words go.")
    code = attempts.attempt(
        sys.stdin.read(),
        sample=sample,
        stage=stage,
        given=list(map(Path, given)),
        made=outputs,
        log=log,
        last=number == of,
        scratch=scratch,
    )
    # A signal is told as a shell tells it.
    raise typer.Exit(code if code >= 0 else 128 - code)


@app.command("again")
def again(
    sample: Annotated[list[str] | None, typer.Argument(help="Only these samples, refused ones too.")] = None,
    results: Annotated[Path, typer.Option(help="The run's folder of results.")] = Path("results"),
) -> None:
    """Let the next run try samples again that failed (or that are named), where no table and no file has changed."""
    from velocorpus.files import existing
    from velocorpus.outcomes.attempt import again as forget

    removed = forget(
        existing(results, "folder of results"), ("refused", "failed") if sample else ("failed",), sample or ()
    )
    print(f"Steps that will be tried again by the next run: {len(removed)}", file=sys.stderr)


@app.command("status")
def status(
    samples: Annotated[Path, typer.Option(help="samples.tsv of the run.")],
    results: Annotated[Path, typer.Option(help="The run's folder of results.")] = Path("results"),
    out: Annotated[Path | None, typer.Option(help="The table to write, one row a sample; without it, printed.")] = None,
    table: Annotated[Path | None, typer.Option(help="A short table for the report, JSON.")] = None,
) -> None:
    """What became of every sample: stage, state, reason, cells, cost. At any time, also while a run goes on."""
    from velocorpus.corpus import status as statuses
    from velocorpus.corpus.plan import read_samples
    from velocorpus.files import existing, write_text

    rows = statuses.status(read_samples(samples), existing(results, "folder of results"))
    if out is None:
        typer.echo(statuses.to_tsv(rows), nl=False)
    else:
        write_text(out, statuses.to_tsv(rows))
    if table is not None:
        statuses.to_table(rows).write(table)
