"""The bytes of a file that is on its way, and which of them are here: what a kill or a broken line leaves for the next.

`{path}` has the file's full length from the start and `{path}.json` says which of its parts hold how many bytes, of
which version (ETag or date) of which address: a kill at any moment costs what came since the last note, and bytes of
two versions are never mixed.
"""

import errno
import fcntl
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from velocorpus.errors import TryLater, UserMistake

PART_BYTES = 64 << 20
NOTE_S = 2.0
PROGRESS_S = 10.0


class Broken(Exception):
    """The transfer broke in a way that another try may mend; `wait_s` is how long the server asks to wait."""

    def __init__(self, reason: str, wait_s: float = 0.0):
        super().__init__(reason)
        self.wait_s = wait_s


class Stale(Broken):
    """The source is no longer what it was when the transfer began, or took ranges and no longer does."""


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
        self.handle = locked(path)

    def __enter__(self) -> "Parts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Another run may go on from what is here, unless the source was refused or is damaged."""
        if isinstance(error, UserMistake) and not isinstance(error, TryLater):
            self.remove()
        os.close(self.handle)

    def forget(self) -> None:
        """Let the next `begin` start again."""
        self.note.unlink(missing_ok=True)
        self.note.with_name(self.note.name + ".new").unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing for another run to go on from."""
        self.forget()
        self.path.unlink()

    def become(self, out: Path) -> None:
        """Give the file its name."""
        self.path.replace(out)
        self.forget()

    def begin(self, address: str, version: str, total: int | None, *, ranged: bool) -> None:
        """Go on with what is here when it is of the same version of the same address, else start again."""
        step = self.part_bytes if ranged else 0
        self.total, self.resumable = total, ranged
        self.identity = [address, version, total, step]
        known = _read_note(self.note)
        if ranged and known.get("identity") == self.identity and self.path.stat().st_size == total:
            self.done = known["done"]
            return
        # In this order, so that a kill in between leaves no note of bytes that are not there.
        self.note.unlink(missing_ok=True)
        os.ftruncate(self.handle, 0)
        os.ftruncate(self.handle, total or 0)
        self.done = [0] * (-(-(total or 0) // step) if step else 1)
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
                no_room(self.path, self.total, sum(self.done))
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


def amount(n_bytes: float) -> str:
    """A number of bytes for people, in powers of ten."""
    power = min(4, (len(str(int(n_bytes))) - 1) // 3)
    return f"{n_bytes / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB')[power]}"


def no_room(path: Path, total: int | None, here: int) -> NoReturn:
    """Refuse, for now, to write `total` bytes to `path`, of which `here` are there."""
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


def locked(path: Path) -> int:
    """Open `path` for one process at a time, until it is closed: an orphan of a killed workflow may still write."""
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
