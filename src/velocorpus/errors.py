"""The exceptions that the command line turns into a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserMistake(ValueError):
    """Something the user can mend.

    The message is one sentence: what is wrong, where, what is allowed, how to mend it. The command line prints it
    without a traceback and exits with code 2; every other exception is a defect of ours and keeps its traceback.
    """


class TryLater(UserMistake):
    """Something that another try may mend without anyone's doing: a host that does not answer, a full disk.

    Its sentence ends with exit code 75 (EX_TEMPFAIL): the workflow tries again and does not refuse the sample for it.
    """


@contextmanager
def mistakes_in(path: Path | str) -> Iterator[None]:
    """Put the file before every mistake of the block, which knows only what was in the file."""
    try:
        yield
    except UserMistake as mistake:
        raise type(mistake)(f"{path}: {mistake}") from None
