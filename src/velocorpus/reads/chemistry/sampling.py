"""A sample of a FASTQ's reads as arrays: the same records of every file of a lane, so that its reads stay together.

Of the first `window` records, `n` are drawn by a seed. The draw depends on nothing but seed and number of records, so
files of one lane, which have equally many, give reads of the same spots.
"""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake
from velocorpus.files import existing

if TYPE_CHECKING:
    from dnaio import SequenceRecord

# Bases looked at of a read: barcodes lie well before, and 150 bases tell where a read is from.
LONGEST = 150
# Codes of the bases A, C, G, T; anything else, and what lies beyond a read's end, is `NO_BASE`.
NO_BASE = 4
_CODES = np.full(256, NO_BASE, np.uint8)
_CODES[list(b"ACGT")] = _CODES[list(b"acgt")] = np.arange(4)

# An archive's spot: `SRR1.7`, to which `fastq-dump -I` adds the read's number; Casava's old `/1` says the same.
_SPOT = re.compile(r"([SED]RR\d+\.\d+)\.\d+|(.+)/[1-4]")


@dataclass(frozen=True, eq=False)
class ReadSample:
    """Sampled reads of one FASTQ.

    `codes`: uint8 (n, bases), see `NO_BASE`; `lengths`: int64 (n,), uncut; `n_seen`: records in the window; `spots`:
    a digest of the sampled records' names without what tells reads of a spot apart.
    """

    path: Path
    codes: np.ndarray
    lengths: np.ndarray
    n_seen: int
    spots: str

    @property
    def length(self) -> int:
        """The middle read length in bases."""
        return int(np.median(self.lengths))


def encode(reads: list[str]) -> np.ndarray:
    """Reads as codes, uint8 (n, bases of the longest, at most `LONGEST`)."""
    width = min(max(map(len, reads)), LONGEST)
    text = "".join(read[:width].ljust(width, "N") for read in reads)
    return _CODES[np.frombuffer(text.encode("latin-1"), np.uint8)].reshape(len(reads), width)


def sample_reads(path: Path | str, *, n: int, window: int, seed: int) -> ReadSample:
    """Draw `n` of the first `window` records of a FASTQ, plain or gzip; all of them where there are fewer.

    Raises `UserMistake` for what is no FASTQ, for a cut gzip stream and for a file without reads.
    """
    path = existing(path, "FASTQ")
    with fastq_records(path) as records:
        seen = [(record.name, record.sequence) for record in islice(records, window)]
    if not seen:
        raise UserMistake(f"{path} has no reads; look for another copy of the file.")
    drawn = np.arange(len(seen))
    if len(seen) > n:
        drawn = np.sort(np.random.default_rng(seed).choice(len(seen), n, replace=False))
    names, reads = zip(*(seen[i] for i in drawn), strict=True)
    digest = blake2b("\n".join(map(spot_of, names)).encode(), digest_size=8).hexdigest()
    return ReadSample(path, encode(list(reads)), np.array([len(read) for read in reads]), len(seen), digest)


@contextmanager
def fastq_records(path: Path | str) -> Iterator[Iterator["SequenceRecord"]]:
    """The records of a FASTQ, plain or gzip; raises `UserMistake` wherever it turns out not to be sound."""
    import dnaio

    try:
        with content_of(existing(path, "FASTQ")) as content, dnaio.open(content, fileformat="fastq") as records:
            yield iter(records)
    except (dnaio.FileFormatError, EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
        raise UserMistake(f"{path} is not a sound FASTQ ({error}); fetch it again or give another file.") from None


def content_of(path: Path) -> BinaryIO:
    """A file opened to read its bytes, unpacked where it is gzip; its content says so, since links change names."""
    import xopen

    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    # Without `format` the name decides.
    return xopen.xopen(path, "rb", format="gz", threads=0) if packed else path.open("rb")


def spot_of(name: str) -> str:
    """A record's name without comment and without the number of the read."""
    word = (name.split() or [""])[0]
    match = _SPOT.fullmatch(word)
    return (match[1] or match[2]) if match else word


def words(codes: np.ndarray, offset: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Bases `offset` to `offset + length` (at most 32) of each read as numbers in base 4, and which have them all.

    Returns uint64 (n,) and bool (n,); the number of a read that ends earlier, or has an N there, means nothing.
    """
    if codes.shape[1] < offset + length:
        return np.zeros(len(codes), np.uint64), np.zeros(len(codes), bool)
    return _words(codes, offset, length)


@compiled
def _words(codes: np.ndarray, offset: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    values = np.zeros(len(codes), np.uint64)
    whole = np.ones(len(codes), np.bool_)
    for r in range(len(codes)):
        for c in range(offset, offset + length):
            whole[r] &= codes[r, c] < NO_BASE
            values[r] = values[r] << np.uint64(2) | np.uint64(codes[r, c] & 3)
    return values, whole


@compiled
def reverse_complement(values: np.ndarray, length: int) -> np.ndarray:
    """Words of `words` read from the other strand: uint64 (n,)."""
    turned = np.zeros_like(values)
    for i in range(len(values)):
        for j in range(length):
            turned[i] = turned[i] << np.uint64(2) | (np.uint64(3) - (values[i] >> np.uint64(2 * j) & np.uint64(3)))
    return turned
