"""The one exception that the command line turns into a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserMistake(ValueError):
    """Something the user can mend.

    The message is one sentence: what is wrong, where, what is allowed, how to mend it. The command line prints it
    without a traceback and exits with code 2; every other exception is a defect of ours and keeps its traceback.
    """


@contextmanager
def mistakes_in(path: Path | str) -> Iterator[None]:
    """Put the file before every mistake of the block, which knows only what was in the file."""
    try:
        yield
    except UserMistake as mistake:
        raise UserMistake(f"{path}: {mistake}") from None
