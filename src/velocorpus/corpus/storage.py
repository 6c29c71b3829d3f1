"""Where a corpus lies: a folder of this machine, mapped into memory, or a folder of a bucket, read by ranges.

What reading from a bucket costs: one GET for the end of each shard, once a process (its footer, which says where the
record batches lie: 24 bytes of memory a batch and about 2 kB a shard), then one GET a record batch, whatever columns
are wanted of it; a shard of less than 64 kB is one GET in all. Of spliced and unspliced about a tenth of what comes is
not used: the ambiguous layer's bytes lie behind them. boto3 is imported only where an address begins with `s3://`.
"""

import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus.errors import TryLater, UserMistake
from velocorpus.files import existing

if TYPE_CHECKING:
    from velocorpus.config import FetchConfig
    from velocorpus.corpus.bucket import Bucket

# How a bucket is asked where `how` says nothing: by so many connections at most, and one that is silent is given up
# after 5 tries of 20 s and waits of 1, 2, 4 and 8 s, one that refuses connections after the waits alone.
PARALLEL = 16
PATIENCE = {"timeout_s": 20.0, "retries": 4}
# The end of a shard, with its footer; and enough of a record batch for its header and the cells' names.
SMALL_BYTES = 1 << 16
# Where Arrow's Footer.fbs has the record batches, and a Block as it lies in the file.
_RECORD_BATCHES = 3
_BLOCK = np.dtype([("start", "<i8"), ("header_bytes", "<i4"), ("padding", "<i4"), ("body_bytes", "<i8")])


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path | str) -> None:
        self.path = existing(path, "corpus")

    def address(self, name: str = "") -> str:
        """What a file, or the folder, is called in a message."""
        return str(self.path / name)

    def read(self, name: str, what: str, sha256: str | None = None) -> bytes:
        """A small file. Its SHA-256 is for `verify` to check."""
        return existing(self.path / name, what).read_bytes()

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return (self.path / name).exists()

    def open(self, name: str, n_bytes: int, *, little: bool = False) -> pa.NativeFile:
        """A shard, for random access."""
        return pa.memory_map(str(existing(self.path / name, "shard")))


class S3Folder:
    """`s3://bucket/folder`, of Amazon or of what speaks like it. Threads may share it; each process asks by itself.

    Asked with credentials of boto3's standard chain, at its endpoint, and without any where it finds none; `how`
    says otherwise. What breaks is asked for again, ever later (see `PATIENCE`), then `TryLater`: from then on all else
    is refused at once in this process, so that what threads were to read ahead does not hold up its end.
    """

    def __init__(self, address: str, how: "FetchConfig | None" = None) -> None:
        self._address, self._how = address, how
        self._footers: dict[str, _Footer] = {}
        self._asking: _Asking | None = None
        self._address = self._here().bucket.address

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_asking": None}

    @property
    def path(self) -> Path:
        """Refused: there is no such folder here."""
        raise UserMistake(_needs_folder(self._address))

    def address(self, name: str = "") -> str:
        """What an object, or the folder, is called in a message."""
        return f"{self._address}/{name}".rstrip("/")

    def read(self, name: str, what: str, sha256: str | None = None) -> bytes:
        """A small object; refused where it is not the one of this SHA-256."""
        with self._asked() as bucket:
            content, _ = bucket.read(name)
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise UserMistake(f"The {what} {self.address(name)} is not that of its manifest; open the corpus again.")
        return content

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        from velocorpus.corpus.bucket import Refused

        try:
            with self._asked() as bucket:
                bucket.ask("head_object", name)
        except Refused as error:
            if error.code in ("404", "NoSuchKey"):
                return False
            raise
        return True

    def open(self, name: str, n_bytes: int, *, little: bool = False) -> pa.NativeFile:
        """A shard of `n_bytes`, for random access; `little`: only some columns at the front of each batch are wanted.

        Refused, also while it is read: an object of another size, or one that was replaced since its footer came.
        """
        with self._here().locks.setdefault(name, threading.Lock()):
            footer = self._footers.get(name)
            if footer is None:
                footer = self._footers[name] = self._foot(name, n_bytes)
        return pa.PythonFile(_Ranges(self, name, footer, SMALL_BYTES if little else n_bytes), "r")

    def span(self, name: str, start: int, stop: int, n_bytes: int, etag: str | None = None) -> tuple[bytes, str]:
        """Bytes [start, stop) of an object that has `n_bytes` (and this ETag), and its ETag."""
        from velocorpus.corpus.bucket import Refused
        from velocorpus.reads.fetch.parts import Broken

        condition = {"IfMatch": etag} if etag else {}
        said = f"bytes {start}-{stop - 1}/{n_bytes}"

        def get(bucket: "Bucket") -> dict[str, Any]:
            answer = bucket.once("get_object", name, Range=f"bytes={start}-{stop - 1}", **condition)
            if answer.get("ContentRange") == said and len(answer["Body"]) != stop - start:
                raise Broken("other bytes came than were asked for")
            return answer

        try:
            with self._asked() as bucket:
                answer = bucket.again(f"reading {name}", lambda: get(bucket))
        except Refused as error:
            if error.code not in ("PreconditionFailed", "412", "InvalidRange", "416"):
                raise
            answer = {}
        if answer.get("ContentRange") != said or etag not in (None, answer["ETag"]):
            raise UserMistake(
                f"The shard {self.address(name)} is not the one of the manifest that was read ({n_bytes} bytes): it "
                "was replaced, or came damaged; open the corpus again, or have it published again."
            )
        return answer["Body"], answer["ETag"]

    def _foot(self, name: str, n_bytes: int) -> "_Footer":
        start = max(n_bytes - SMALL_BYTES, 0)
        end, etag = self.span(name, start, n_bytes, n_bytes)
        try:
            size, magic = struct.unpack("<i6s", end[-10:])
            if magic != b"ARROW1" or not 0 < size <= n_bytes - 10:
                raise ValueError("it does not end as a Feather file does")
            at = n_bytes - 10 - size
            if at < start:
                start, (end, _) = at, self.span(name, at, n_bytes, n_bytes, etag)
            batches = _batches(end[at - start :])
        except (struct.error, ValueError) as error:
            raise UserMistake(
                f"The shard {self.address(name)} cannot be read as Arrow ({error}); publish it again."
            ) from None
        # A small shard is here whole; of another only the footer is worth its memory.
        kept = start if start == 0 else at
        return _Footer(etag, n_bytes, batches, kept, end[kept - start :])

    @contextmanager
    def _asked(self) -> "Iterator[Bucket]":
        """The bucket, which breaks for good but once."""
        here = self._here()
        if here.broke:
            raise TryLater(here.broke)
        try:
            yield here.bucket
        except TryLater as error:
            here.broke = str(error)
            here.bucket.halt.set()
            raise

    def _here(self) -> "_Asking":
        """This process' connection: neither a copy sent to another process nor a fork may use another's."""
        from velocorpus.config import FetchConfig
        from velocorpus.corpus.bucket import Bucket

        with _CONNECTING:
            if self._asking is None or self._asking.pid != os.getpid():
                how = self._how or FetchConfig(s3_unsigned=not _has_credentials(), parallel=PARALLEL, **PATIENCE)
                self._asking = _Asking(Bucket(self._address, how, instead=_INSTEAD.format(self._address)))
            return self._asking


def open_storage(path: Path | str, how: "FetchConfig | None" = None) -> Folder | S3Folder:
    """The storage at a path or at an address `s3://bucket/folder`; `how` is for the latter."""
    address = _s3_address(path)
    return Folder(path) if address is None else S3Folder(address, how)


def require_folder(path: Path | str) -> None:
    """Refuse an address: what changes a corpus, or checks every byte of it, needs it here."""
    address = _s3_address(path)
    if address is not None:
        raise UserMistake(_needs_folder(address))


def _s3_address(path: Path | str) -> str | None:
    """The address that a path spells, also one that went through `Path`, which makes one slash of two."""
    text = str(path)
    return f"s3://{text[3:].lstrip('/')}" if text.startswith("s3:/") else None


def _needs_folder(address: str) -> str:
    return (
        f"{address} is in a bucket, and this needs a folder: bring it here first by `velocorpus corpus pull {address}`."
    )


def _has_credentials() -> bool:
    import boto3

    return boto3.Session().get_credentials() is not None


# What reading in place has no options for.
_INSTEAD = "`velocorpus corpus pull {}` takes --endpoint, --requester-pays and --unsigned"

# Held over a fork, so that no child inherits it from a thread that it does not have.
_CONNECTING = threading.Lock()
os.register_at_fork(before=_CONNECTING.acquire, after_in_parent=_CONNECTING.release, after_in_child=_CONNECTING.release)


@dataclass
class _Asking:
    """What a process asks with, and how it broke for good; a lock a shard, so that threads that want the same footer
    wait for one GET.
    """

    bucket: "Bucket"
    pid: int = field(default_factory=os.getpid)
    locks: dict[str, threading.Lock] = field(default_factory=dict)
    broke: str = ""


@dataclass(frozen=True)
class _Footer:
    """The kept end of a shard: its bytes from `start` on, and where its record batches begin and end."""

    etag: str
    n_bytes: int
    batches: NDArray[np.int64]
    start: int
    content: bytes


class _Ranges:
    """A file object over an object: the footer is here already, a record batch comes at the first read in it."""

    closed = False

    def __init__(self, folder: S3Folder, name: str, footer: _Footer, ahead: int) -> None:
        self._folder, self._name, self._footer, self._ahead = folder, name, footer, ahead
        self._at, self._start, self._piece = 0, footer.start, footer.content

    def read(self, n: int = -1) -> bytes:
        """`n` bytes from where it stands."""
        footer, start = self._footer, self._at
        stop = min(start + n, footer.n_bytes) if n >= 0 else footer.n_bytes
        self._at = max(start, stop)
        for first, piece in ((footer.start, footer.content), (self._start, self._piece)):
            if first <= start and stop <= first + len(piece):
                return piece[start - first : stop - first]
        batch = footer.batches[(footer.batches[:, 0] <= start) & (start < footer.batches[:, 1])]
        end = max(min(start + self._ahead, int(batch[0, 1])), stop) if len(batch) else stop
        self._piece = b""  # its memory goes before the next one's comes
        self._piece, _ = self._folder.span(self._name, start, end, footer.n_bytes, footer.etag)
        self._start = start
        return self._piece[: stop - start]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Stand elsewhere."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._footer.n_bytes}[whence]
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def close(self) -> None:
        """Let the bytes go."""
        self._piece, self.closed = b"", True


def _batches(footer: bytes) -> NDArray[np.int64]:
    """Where the record batches begin and end, int64 [n, 2], of an Arrow file's footer, a flatbuffer."""
    (table,) = struct.unpack_from("<I", footer)
    vtable = table - struct.unpack_from("<i", footer, table)[0]
    (at,) = struct.unpack_from("<H", footer, vtable + 4 + 2 * _RECORD_BATCHES)
    vector = table + at + struct.unpack_from("<I", footer, table + at)[0]
    (n,) = struct.unpack_from("<I", footer, vector)
    blocks = np.frombuffer(footer, _BLOCK, n, vector + 4)
    return np.stack([blocks["start"], blocks["start"] + blocks["header_bytes"] + blocks["body_bytes"]], axis=1)
