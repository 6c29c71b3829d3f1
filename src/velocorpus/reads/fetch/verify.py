"""Whether a file that was brought here is sound: its MD5, and its own form, both in one reading."""

import hashlib
import io
import shutil
import zlib
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.table_rows import REMOTE

CHUNK = 1 << 20
GZIP = b"\x1f\x8b"
HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_NAMES = (".h5ad", ".loom", ".h5")
# The empty block that ends every BAM (SAM specification, 4.1.2): without it one that is cut between two blocks would
# pass as gzip.
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


class Damaged(UserMistake):
    """The bytes are not what they should be; fetching them again may mend it."""


class _Hashed(io.RawIOBase):
    """A file whose bytes are hashed as they are read, once and in order."""

    def __init__(self, handle: BinaryIO):
        self.handle, self.md5 = handle, hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        size = self.handle.readinto(buffer)  # type: ignore[attr-defined]
        self.md5.update(memoryview(buffer)[:size])
        return size


def verify(path: Path, source: str, out: Path, *, md5: str | None, size: int | None = None) -> None:
    """Check size, MD5 and form of `path`, which came from `source` (named in refusals) and will be `out`.

    The form is told by both names.

    `.gz` and `.bam`: every gzip stream to its end; `.bam`: and its end mark; `.fastq.gz`: and whole records;
    `.h5ad`, `.loom`, `.h5`: as long as HDF5 says. These may end in `.gz`, too: GEO's are gzip files (what is in them
    is checked when it is unpacked), those of scBaseCount's first release are not. Raises `Damaged`.
    """
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise Damaged(f"{source} is empty; look for another copy of the file.")
    check_size(source, n_bytes, size)
    names = (urlsplit(source).path if REMOTE.match(source) else source, out.name)

    def ends(*endings: str) -> bool:
        return any(name.endswith(endings) for name in names)

    with path.open("rb") as handle:
        hashed = _Hashed(handle)
        damage = None
        buffered: Any = io.BufferedReader(hashed, CHUNK)
        counts = ends(*HDF5_NAMES, *(f"{name}.gz" for name in HDF5_NAMES))
        head = buffered.peek(len(HDF5))
        is_hdf5 = counts and (head.startswith(HDF5) or not head.startswith(GZIP))
        if not is_hdf5 and (counts or ends(".gz", ".bgz", ".bam")):
            damage = _gzip_damage(buffered, fastq=ends(".fastq.gz", ".fq.gz"))
        # To the end also when the stream broke before: a wrong MD5 says more than a broken stream.
        while md5 and buffered.read(CHUNK):
            pass
        if ends(".bam") and not damage:
            handle.seek(-min(len(BGZF_END), n_bytes), io.SEEK_END)
            damage = None if handle.read() == BGZF_END else "is cut short: it has no end mark of BAM"
    if md5 and hashed.md5.hexdigest() != md5.lower():
        raise Damaged(
            f"{source} has MD5 {hashed.md5.hexdigest()}, the table says {md5}; fetch it again, or correct the table if "
            "the file was replaced on purpose."
        )
    if damage := damage or (_hdf5_damage(path) if is_hdf5 else None):
        raise Damaged(f"{source} {damage}; fetch it again or look for another copy.")


def check_size(source: str, n_bytes: int, size: int | None) -> None:
    """Refuse a file that has another size than the table says."""
    if size not in (None, n_bytes):
        raise Damaged(
            f"{source} has {n_bytes:,} bytes, the table says {size:,}; correct the table if the file was replaced on "
            "purpose."
        )


def is_packed(path: Path, out: Path) -> bool:
    """Whether `path` is a gzip file, though `out` is to be HDF5."""
    with path.open("rb") as handle:
        return out.name.endswith(HDF5_NAMES) and handle.read(len(GZIP)) == GZIP


def unpack(packed: Path, out: Path, source: str) -> None:
    """Unpack a gzip file of counts, which `verify` passed, to `out`; `Damaged` when there is no sound HDF5 in it."""
    from isal import igzip

    with replacing(out) as aside:
        with igzip.open(packed) as stream, aside.open("wb") as target:
            shutil.copyfileobj(stream, target, CHUNK)
        if damage := _hdf5_damage(aside):
            raise Damaged(f"What is packed in {source} {damage}; look for another copy.")


def _gzip_damage(raw: Any, *, fastq: bool) -> str | None:
    from isal import igzip, isal_zlib

    head = raw.peek(2)[:2]
    if head != GZIP:
        return f"is not a sound gzip file (it begins with {head!r})"
    lines, last = 0, b"\n"
    try:
        with igzip.open(raw) as stream:
            while chunk := stream.read(CHUNK):
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
    except EOFError:
        return "is cut short or has bytes after its end: its last gzip stream does not end"
    except (OSError, zlib.error, isal_zlib.error) as error:  # type: ignore[misc]
        return f"is not a sound gzip file ({error})"
    lines += last != b"\n"
    if fastq and lines % 4:
        return f"is cut short or no FASTQ: its {lines:,} lines are not four to a read"
    return None


def _hdf5_damage(path: Path) -> str | None:
    import h5py

    try:
        # Whoever brings the file holds its lock.
        h5py.File(path, locking=False).close()
    except OSError as error:
        return f"is not a sound HDF5 file ({error})"
    return None
