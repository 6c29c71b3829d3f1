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


@contextmanager
def asked_to_stop() -> Iterator[Asked]:
    """Take note of the signals instead of dying of them, while the block runs. Only a main thread can."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        asked.signal = signal.Signals(number).name

    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
