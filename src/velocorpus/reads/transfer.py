"""The bytes of one remote file, gathered by several workers in ranges, resumed where they broke or were killed.

`{path}` has the file's full length from the start and `{path}.json` says which of its parts hold how many bytes, of
which version (ETag or date) of which address: a kill at any moment costs what came since the last note, and bytes of
two versions are never mixed. A source that takes no ranges, or does not say its version, is read as one stream from
the start in every try.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Protocol

from velocorpus.errors import TryLater, UserMistake

PART_BYTES = 64 << 20
NOTE_S = 2.0
PROGRESS_S = 10.0
MAX_WAIT_S = 300.0
# A connection that brings less than this is as good as stalled.
SLOWEST = 1024  # bytes a second


class Broken(Exception):
    """The transfer broke in a way that another try may mend; `wait_s` is how long the server asks to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


class Stale(Broken):
    """The source is no longer what it was when the transfer began, or took ranges and no longer does."""


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


class Parts:
    """The part file, its note, and the lock that keeps two processes from writing one file."""

    def __init__(self, path: Path, part_bytes: int):
        self.path, self.note, self.part_bytes = path, path.with_name(path.name + ".json"), part_bytes
        self.lock = threading.Lock()
        self.identity: list[str | int | None] = []
        self.total: int | None = None
        # Whether bytes that came are worth something in the next try.
        self.resumable = False
        self.done, self.came = [0], 0
        self.began = self.said = self.noted = time.monotonic()
        self.handle = _locked(path)

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Another run may go on from what is here, unless the source was refused or is damaged."""
        if isinstance(error, UserMistake) and not isinstance(error, TryLater):
            self.forget()
            self.path.unlink()
        os.close(self.handle)

    def forget(self) -> None:
        """Let the next `begin` start again."""
        self.note.unlink(missing_ok=True)
        self.note.with_name(self.note.name + ".new").unlink(missing_ok=True)

    def become(self, out: Path) -> None:
        """Give the file its name."""
        self.path.replace(out)
        self.forget()

    def begin(self, address: str, found: Found, *, ranged: bool) -> None:
        """Go on with what is here when it is of the same version of the same address, else start again."""
        step = self.part_bytes if ranged else 0
        self.total, self.resumable = found.total, ranged
        self.identity = [address, found.version, found.total, step]
        known = _read_note(self.note)
        if ranged and known.get("identity") == self.identity and self.path.stat().st_size == found.total:
            self.done = known["done"]
            return
        # In this order, so that a kill in between leaves no note of bytes that are not there.
        self.note.unlink(missing_ok=True)
        os.ftruncate(self.handle, 0)
        os.ftruncate(self.handle, found.total or 0)
        self.done = [0] * (-(-(found.total or 0) // step) if step else 1)
        self.save()

    def span(self, i: int) -> tuple[int, int | None]:
        """The bytes of part `i`: the first, and the one after the last (None: not known)."""
        if not self.resumable or self.total is None:
            return 0, self.total
        return i * self.part_bytes, min((i + 1) * self.part_bytes, self.total)

    @property
    def missing(self) -> list[int]:
        """The parts that are not whole."""
        spans = map(self.span, range(len(self.done)))
        return [i for i, (first, end) in enumerate(spans) if end is None or first + self.done[i] != end]

    def write(self, i: int, chunk: bytes) -> None:
        """Add `chunk` to part `i`, which only one worker writes; refused when the part would grow too long."""
        first, end = self.span(i)
        at, rest = first + self.done[i], memoryview(chunk)
        if end is not None and at + len(rest) > end:
            raise Broken("more bytes came than were asked for")
        try:
            while rest:
                written = os.pwrite(self.handle, rest, at)
                at, rest = at + written, rest[written:]
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                _no_room(self.path, self.total, sum(self.done))
            raise
        with self.lock:
            self.done[i] += len(chunk)
            self.came += len(chunk)
            now = time.monotonic()
            if now - self.said > PROGRESS_S:
                self._say(now)
            if now - self.noted > NOTE_S:
                self.save()

    def save(self) -> None:
        """Note what is safely on the disk."""
        if self.resumable:
            note = json.dumps({"identity": self.identity, "done": self.done})
            os.fsync(self.handle)
            aside = self.note.with_name(self.note.name + ".new")
            aside.write_text(note, encoding="utf-8")
            aside.replace(self.note)
        self.noted = time.monotonic()

    def _say(self, now: float) -> None:
        here, rate = sum(self.done), self.came / (now - self.began)
        of = f" of {amount(self.total)} ({here / self.total:.0%})" if self.total else ""
        left = f", {(self.total - here) / rate / 60:.0f} min left" if self.total else ""
        name = self.path.name.removesuffix(".part")
        print(f"{name}: {amount(here)}{of}, {amount(rate)}/s{left}", file=sys.stderr, flush=True)
        self.said = now


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
    if size is not None and found.total not in (None, size):
        raise UserMistake(
            f"{source.address} has {found.total:,} bytes, the table says {size:,}; correct the table if the file was "
            "replaced on purpose."
        )
    parts.begin(source.address, found, ranged=bool(ranged and found.ranged and found.version and found.total))
    here = sum(parts.done)
    if shutil.disk_usage(parts.path.parent).free < (found.total or size or 0) - here:
        _no_room(parts.path, found.total or size, here)
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


def amount(n_bytes: float) -> str:
    """A number of bytes for people, in powers of ten."""
    power = min(4, (len(str(int(n_bytes))) - 1) // 3)
    return f"{n_bytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def _no_room(path: Path, total: int | None, here: int) -> NoReturn:
    free = shutil.disk_usage(path.parent).free
    wanted = f"{amount(total - here)} of {amount(total)} are still to come" if total else "more is to come"
    raise TryLater(
        f"{path.parent} has {amount(free)} free, but of {path.name.removesuffix('.part')} {wanted}; make room and run "
        "again to go on."
    ) from None


def _read_note(note: Path) -> dict[str, Any]:
    try:
        return json.loads(note.read_text(encoding="utf-8")) if note.exists() else {}
    except ValueError:
        return {}


def _locked(path: Path) -> int:
    """Open `path` for one process at a time: an orphan of a killed workflow may still be writing."""
    while True:
        # A link would lead to someone else's file, which would be emptied.
        if path.is_symlink():
            path.unlink()
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{path}: another process is fetching this; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            # Some cluster file systems know no locks.
            return handle
        # The other may have given the file its name, or removed it, meanwhile.
        if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
            return handle
        os.close(handle)
