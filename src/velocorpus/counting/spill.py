"""Matched reads, set aside until the BAM has been read: in memory, and beyond a limit in a compressed temporary file.

Reads are parted by a hash of cell and UMI, so that all reads of a molecule are in one part whatever the order of the
BAM, and no part is larger than another even where one barcode has all reads. The file is removed from its folder
while it is open: nothing is left behind, also after a kill.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import IO, NamedTuple, Self

import numpy as np
import pyarrow as pa

from velocorpus.compiled import compiled
from velocorpus.counting.barcodes import spread
from velocorpus.errors import TryLater

N_PARTS = 256
READS_IN_MEMORY = 24_000_000  # 16 bytes each; spilling needs as much again
_CODEC = pa.Codec("zstd", 1)


class Reads(NamedTuple):
    """Matched reads as parallel arrays."""

    cell: np.ndarray  # int32
    umi: np.ndarray  # int64
    class_: np.ndarray  # int32


class Piece(NamedTuple):
    """Where the spilled reads of one part lie: three compressed columns one after another."""

    at: int
    n_reads: int
    sizes: tuple[int, ...]


class ReadStore:
    """Takes reads in batches, gives them back by part."""

    def __init__(self, *, reads_in_memory: int = READS_IN_MEMORY, n_parts: int = N_PARTS) -> None:
        self.n_spilled = 0
        self._limit = reads_in_memory
        self._n_parts = n_parts
        self._held: list[Reads] = []
        self._n_held = 0
        self._pieces: list[list[Piece]] = [[] for _ in range(n_parts)]
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._file is not None:
            # Closing writes what a full disk did not take before, and would fail anew: nothing of it is wanted.
            with suppress(OSError):
                self._file.close()

    def add(self, reads: Reads) -> None:
        """Take a batch; `TryLater` when the temporary folder is full."""
        self._held.append(reads)
        self._n_held += reads.cell.size
        if self._n_held >= self._limit:
            self._spill()

    def parts(self) -> Iterator[Reads]:
        """The reads of each part, in the order in which they came; to be asked for once, at the end."""
        held, edge = self._parted()
        for part, pieces in enumerate(self._pieces):
            rest = Reads(*(column[edge[part] : edge[part + 1]] for column in held))
            spilled = [self._read(piece) for piece in pieces]
            yield Reads(*map(np.concatenate, zip(*spilled, rest, strict=True)))

    def _parted(self) -> tuple[Reads, np.ndarray]:
        """What is held, sorted by part, and where each part begins."""
        if not self._held:
            self._held.append(Reads(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.int32)))
        edge = np.zeros(self._n_parts + 1, dtype=np.int64)
        for reads in self._held:
            _count_parts(reads.cell, reads.umi, edge)
        np.cumsum(edge, out=edge)
        sorted_ = Reads(*(np.empty(self._n_held, dtype=column.dtype) for column in self._held[0]))
        place = edge[:-1].copy()
        # Batch by batch, so that what has been copied is freed.
        for reads in self._drain():
            _scatter(*reads, place, *sorted_)
        return sorted_, edge

    def _drain(self) -> Iterator[Reads]:
        self._n_held = 0
        self._held.reverse()
        while self._held:
            yield self._held.pop()

    def _spill(self) -> None:
        self.n_spilled += self._n_held
        held, edge = self._parted()
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(  # noqa: SIM115  closed by __exit__
                    prefix="velocorpus-count-"
                )
            for part, pieces in enumerate(self._pieces):
                columns = [np.ascontiguousarray(column[edge[part] : edge[part + 1]]) for column in held]
                packed = [_CODEC.compress(column, asbytes=True) for column in columns]
                at = self._file.tell()
                self._file.writelines(packed)
                pieces.append(Piece(at, columns[0].size, tuple(map(len, packed))))
            self._file.flush()
        except OSError as error:
            raise TryLater(
                f"The temporary folder {tempfile.gettempdir()} cannot take the reads that do not fit in memory"
                f" ({error}); free space there, or set TMPDIR to a folder with more."
            ) from None

    def _read(self, piece: Piece) -> Reads:
        assert self._file is not None, "a piece without a file"
        self._file.seek(piece.at)
        columns = []
        for size, dtype in zip(piece.sizes, (np.int32, np.int64, np.int32), strict=True):
            width = np.dtype(dtype).itemsize
            columns.append(
                np.frombuffer(
                    _CODEC.decompress(self._file.read(size), piece.n_reads * width, asbytes=True), dtype=dtype
                )
            )
        return Reads(*columns)


@compiled
def _part(cell, umi, n_parts):  # type: ignore[no-untyped-def]
    return spread(umi ^ (np.int64(cell) << 40)) % n_parts


@compiled
def _count_parts(cell, umi, edge):  # type: ignore[no-untyped-def]
    for r in range(cell.size):
        edge[_part(cell[r], umi[r], edge.size - 1) + 1] += 1


@compiled
def _scatter(cell, umi, class_, place, cell_to, umi_to, class_to):  # type: ignore[no-untyped-def]
    for r in range(cell.size):
        part = _part(cell[r], umi[r], place.size)
        at = place[part]
        place[part] += 1
        cell_to[at], umi_to[at], class_to[at] = cell[r], umi[r], class_[r]
