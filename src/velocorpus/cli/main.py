"""`velocorpus`: finds the subcommand's module, runs it, and turns a user's mistake into one sentence."""

import errno
import importlib
import os
import sys
from typing import Any

import typer
import typer.core

from velocorpus import __version__
from velocorpus.errors import TryLater, UserMistake

# Subcommand → (module, one line of help). The module's `app` is imported only when its command runs, so that `train`
# starts without anndata and `count` without torch.
COMMANDS: dict[str, tuple[str, str]] = {
    "check": ("check", "Check a configuration and its tables; start nothing"),
    "simulate": ("simulate", "Simulate studies whose kinetics, counts and reads are known"),
    "resolve": ("resolve", "Look accessions up; write what to fetch into the tables"),
    "fetch": ("reads", "Fetch one file of reads, verified, to a local path"),
    "whitelist": ("reads", "Write the allowed barcodes of a chemistry as plain text, as STAR wants them"),
    "kmers": ("understand", "Index a reference's exons, so that reads tell strand and organism"),
    "chemistry": ("understand", "Tell the chemistry of a sample's reads, with the evidence"),
    "reads-qc": ("understand", "Measure a sample's reads before anything expensive"),
    "reads-sketches": ("understand", "Put sketches of samples' molecules into one file"),
    "reads-duplicates": ("understand", "Refuse a sample whose reads are those of another one"),
    "reference": ("reference", "Filter and check a FASTA and a GTF; write the gene table"),
    "cells": ("importing", "List the cells of a BAM, where nobody gave a list"),
    "count": ("counting", "Count spliced, unspliced and ambiguous molecules of a BAM"),
    "import": ("importing", "Bring in counts that another tool has made"),
    "doublets": ("doublets", "Score a sample's cells by how much they look like two"),
    "attempt": ("samples", "Run a step of one sample, which a failure sets aside with its reason"),
    "status": ("samples", "What became of every sample: stage, state, reason, cells, cost"),
    "again": ("samples", "Let the next run try failed samples again"),
    "samples-from-scbasecount": ("importing", "Tables of samples for scBaseCount's experiments, one row each"),
    "concord": ("concord", "Compare counts of one sample with each other or with the truth"),
    "corpus": ("corpus", "Build, grow, verify and export the corpus"),
    "targets": ("targets", "Teacher velocities of one study, by scVelo or from the simulated truth"),
    "transitions": ("trajectory", "Pairs of cells, one a step of pseudotime after the other"),
    "pretrain": ("pretrain", "Pretrain the Zorro encoder on a corpus"),
    "finetune": ("finetune", "Fine-tune a decoder: expression, velocity or trajectory"),
    "embed": ("embed", "Embed the cells of an AnnData"),
    "velocity": ("velocity", "Velocities for the cells of an AnnData"),
    "trajectory": ("trajectory", "Generate trajectories from the cells of an AnnData"),
    "evaluate": ("evaluate", "Judge counts and decoders against baselines, scVelo and the truth"),
    "report": ("report", "Tell of a run by tables, curves and a summary"),
    "verify": ("verify", "Check that a model was trained on a corpus"),
}


# What the system refuses and the user can mend. A file that does not exist is named where it is asked for.
SYSTEM_REFUSALS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or have your quota raised",
    errno.EFBIG: "have the limit on file sizes raised (ulimit -f)",
    errno.EACCES: "get the right to read or write there",
    errno.EPERM: "get the right to read or write there",
    errno.EROFS: "write elsewhere",
    errno.ENOTDIR: "give a folder where a folder is needed",
    errno.EEXIST: "give a folder where a folder is needed",
    errno.EISDIR: "give a file where a file is needed",
    errno.ENAMETOOLONG: "give a shorter name",
}
WRONG_PATHS = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG)


class LazyGroup(typer.core.TyperGroup):
    """A group whose subcommands are imported when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The subcommands, in the order of the road from reads to velocities."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the module of one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(importlib.import_module(f"velocorpus.cli.{COMMANDS[cmd_name][0]}").app)
        # A module with several commands (say `count` and `import`) is a group: take the one asked for.
        command = getattr(command, "commands", {}).get(cmd_name, command)
        command.name = cmd_name
        # Each module's app offers shell completion of its own, which would not complete `velocorpus`.
        command.params = [p for p in command.params if p.name not in ("install_completion", "show_completion")]
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the subcommands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, short_help) for name, (_, short_help) in COMMANDS.items()])


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def velocorpus(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_tell_version, help="Print the version and stop."
    ),
) -> None:
    """From raw 10x reads to spliced/unspliced counts, a corpus in Arrow, and the Zorro model of RNA velocity."""


def main() -> None:
    """Run the command line; a `UserMistake` is one sentence and exit code 2.

    `TryLater`, and what the system refuses for now, is one sentence and exit code 75: the same may succeed later.
    """
    try:
        app()
    except Exception as error:
        mistake = error if isinstance(error, UserMistake) else refused_by_system(error)
        if mistake is None:
            raise
        # What other software says of a file may have several lines; ours is one.
        print(f"velocorpus: {' '.join(str(mistake).split())}", file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL if isinstance(mistake, TryLater) else 2)


def refused_by_system(error: BaseException) -> UserMistake | None:
    """The sentence for a full disk and the like, which only the user can mend; None for any other error.

    HDF5, Arrow and safetensors raise errors of their own, without a number but with the system's words.
    """
    for one in (error, error.__cause__, error.__context__):
        for number, advice in SYSTEM_REFUSALS.items():
            words = os.strerror(number)
            if getattr(one, "errno", None) == number or (one is not None and words in str(one)):
                where = getattr(one, "filename", None)
                kind = UserMistake if number in WRONG_PATHS else TryLater
                return kind(f"{where or 'A file'}: {words}; {advice} and run again. Nothing half-written was left.")
    return None


if __name__ == "__main__":
    main()
