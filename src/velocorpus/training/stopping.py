"""Signals that ask a run to stop: it finishes the step, saves, and ends with exit code 75, so that it is run again.

SIGTERM is what a user, a scheduler and torchrun send; SIGUSR1 is what SLURM sends some time before the limit when asked
by `--signal=USR1@<seconds>`.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


@dataclass
class Asked:
    """The name of the signal that has come, if one has."""

    signal: str = ""


_noting: list[Asked] = []  # that of the outermost block


@contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Take note of the signals instead of dying of them, while the block runs; a block within it has the same notes.

    Only a main thread can. One signal rarely comes alone (SLURM signals every process of a step, a launcher hands on
    its own), so after the first the process stays deaf to them: a second would kill it while it ends.
    """
    if _noting or threading.current_thread() is not threading.main_thread():
        yield _noting[0] if _noting else Asked()
        return
    asked = Asked()

    def note(number: int, frame: FrameType | None) -> None:
        asked.signal = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in SIGNALS}
    _noting.append(asked)
    try:
        yield asked
    finally:
        _noting.clear()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked.signal else handler)
