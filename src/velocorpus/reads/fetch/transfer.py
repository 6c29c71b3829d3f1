"""The bytes of one remote file, gathered by several workers in ranges into `parts.py`, with tries after each break.

A source that takes no ranges, or does not say its version, is read as one stream from the start in every try.
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from velocorpus.errors import TryLater
from velocorpus.reads.fetch.parts import Broken, Parts, Stale, no_room
from velocorpus.reads.fetch.verify import check_size

MAX_WAIT_S = 300.0
# A connection that brings less than this is as good as stalled.
SLOWEST = 1024  # bytes a second


@dataclass(frozen=True)
class Found:
    """What a source says of its file. `version`: empty when unknown; `total`: bytes; `ranged`: takes ranges."""

    version: str
    total: int | None
    ranged: bool


class Source(Protocol):
    """A file of some protocol. Its methods raise `Broken`, `Stale`, or `UserMistake` for a final refusal."""

    address: str

    def look(self) -> Found:
        """Ask what there is."""

    def read(self, found: Found, span: tuple[int, int] | None) -> AbstractContextManager[Iterator[bytes]]:
        """The bytes from `span[0]` up to `span[1]` of this version; all of them when `span` is None."""

    def close(self) -> None:
        """Close the connections that were kept."""


def transfer(
    source: Source,
    parts: Parts,
    *,
    parallel: int,
    retries: int,
    timeout_s: float,
    size: int | None = None,
    wait_s: float = 1.0,
) -> None:
    """Bring every byte of `source` into `parts`.

    At most `parallel` connections, half as many after a broken try. `retries` more tries in a row that each bring
    less than a part, `wait_s` seconds apart at first, doubled each time, or what the server asks for. Raises
    `TryLater` for a transfer that kept breaking and for a disk without room, `UserMistake` for what a server refuses
    and for a length that is not `size`.
    """
    failures = stale = 0
    while True:
        before = parts.came
        try:
            # Twice stale: a host whose answers differ from one another is read in one go.
            return _attempt(source, parts, parallel, timeout_s, size, ranged=stale < 2)
        except Broken as error:
            stale += isinstance(error, Stale)
            if parts.resumable and not isinstance(error, Stale) and parts.came - before >= parts.part_bytes:
                failures = 0
            else:
                # A host may allow an address only so many connections.
                parallel = max(1, parallel // 2)
            failures += 1
            if failures > retries:
                raise TryLater(
                    f"{source.address} could not be fetched in {retries + 1} tries ({error}); run again later to go on."
                ) from None
            print(f"{source.address}: {error}; try {failures + 1} of {retries + 1}", file=sys.stderr, flush=True)
            time.sleep(min(max(error.wait_s, wait_s * 2 ** (failures - 1)), MAX_WAIT_S))


def _attempt(source: Source, parts: Parts, parallel: int, timeout_s: float, size: int | None, *, ranged: bool) -> None:
    found = source.look()
    if found.total is not None:
        check_size(source.address, found.total, size)
    taken = bool(ranged and found.ranged and found.version and found.total)
    parts.begin(source.address, found.version, found.total, ranged=taken)
    here = sum(parts.done)
    if shutil.disk_usage(parts.path.parent).free < (found.total or size or 0) - here:
        no_room(parts.path, found.total or size, here)
    missing, broke, halt = parts.missing, threading.Event(), threading.Event()

    def bring(i: int) -> None:
        # The others end the parts that they began when one breaks; nothing more is read after a refusal.
        if broke.is_set():
            return
        try:
            _bring(source, found, parts, i, timeout_s, halt)
        except BaseException as error:
            broke.set()
            if not isinstance(error, Broken):
                halt.set()
            raise

    try:
        with ThreadPoolExecutor(max(1, min(parallel, len(missing)))) as pool:
            try:
                for job in as_completed([pool.submit(bring, i) for i in missing]):
                    job.result()
            except KeyboardInterrupt:
                broke.set()
                halt.set()
                raise
    finally:
        parts.save()


def _bring(source: Source, found: Found, parts: Parts, i: int, timeout_s: float, halt: threading.Event) -> None:
    first, end = parts.span(i)
    span = (first + parts.done[i], end) if parts.resumable and end is not None else None
    since, lately = time.monotonic(), 0
    with source.read(found, span) as chunks:
        for chunk in chunks:
            if halt.is_set():
                return
            parts.write(i, chunk)
            now, lately = time.monotonic(), lately + len(chunk)
            if now - since > timeout_s:
                if lately < SLOWEST * (now - since):
                    raise Broken(f"only {lately} bytes came in {now - since:.0f} s")
                since, lately = now, 0
    if end is not None and first + parts.done[i] != end:
        raise Broken(f"{parts.done[i]} of {end - first} bytes came")
