"""The decompressed records of a BAM in chunks, from its BGZF blocks (SAM specification, section 4.1).

Blocks are framed one after another, inflated in parallel, and joined into chunks of whole records: a record that a
chunk's last block cuts is carried over into the next chunk. Every block's length and CRC-32 are checked, and whatever
is wrong is refused with the block's place in the file. Memory: a few chunks a thread, whatever the file's size.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from isal import isal_zlib

from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake

CHUNK_BYTES = 4 << 20  # of decompressed records, about
_BLOCKS_A_CHUNK = CHUNK_BYTES >> 16
_HEADROOM = 1 << 16  # for what is carried over from the chunk before
_PIECE = 1 << 20
_LONGEST_RECORD = 1 << 26
_SHORTEST_RECORD = 32
_FITS = 2**32  # no length that a record can say
_GZIP_WINDOW = 31  # zlib's spelling of "a gzip member, checked against its own CRC and length"
_MAGIC = b"\x1f\x8b\x08\x04"

Item = TypeVar("Item")
Result = TypeVar("Result")


class BrokenBam(UserMistake):
    """A BAM whose bytes contradict its format."""

    def __init__(self, path: Path | str, where: str, what: str) -> None:
        super().__init__(f"{path} is damaged at {where}: {what}; copy or make it again.")


@dataclass(frozen=True, eq=False)
class Chunk:
    """Whole records: bytes `start..end` of `data` (uint8), `n_records` of them; and where each block lies."""

    data: np.ndarray
    start: int
    end: int
    n_records: int
    block_at: np.ndarray  # int64, place in the file
    block_start: np.ndarray  # int64, its first byte in `data`; what precedes the first is of the chunk before

    def place(self, byte: int) -> str:
        """Where in the file the record at `byte` of `data` lies, in words."""
        block = int(np.searchsorted(self.block_start, byte, side="right")) - 1
        if block < 0:
            return f"the end of the block before byte {self.block_at[0]}"
        return f"the block at byte {self.block_at[block]}, {byte - self.block_start[block]} bytes into it"


def in_order(pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """`work` of each item, in the items' order, while at most `ahead` more are under way."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def read_chunks(path: Path | str, first_record: int, pool: Executor, ahead: int) -> Generator[Chunk]:
    """Chunks of whole records from the virtual offset `first_record` (block << 16 | byte) to the file's end."""
    groups = _grouped(_blocks(path, first_record >> 16))
    carried = np.empty(0, dtype=np.uint8)
    skip = first_record & 0xFFFF
    for data, block_at, block_start in in_order(pool, lambda group: _inflate(path, group), groups, ahead):
        if carried.size <= _HEADROOM:
            start = _HEADROOM - carried.size
            data[start:_HEADROOM] = carried
        else:
            data = np.concatenate((carried, data[_HEADROOM:]))
            block_start += carried.size - _HEADROOM
            start = 0
        start, skip = start + skip, 0
        end, n_records, size = _walk(data, start)
        chunk = Chunk(data, start, end, n_records, block_at, block_start)
        if size != _FITS:
            raise BrokenBam(path, chunk.place(end), f"a record says that it is {size} bytes long")
        carried = data[end:].copy()
        if n_records:
            yield chunk
    if carried.size:
        raise BrokenBam(path, "its end", f"the last record is cut, {carried.size} bytes of it are there")


def _blocks(path: Path | str, at: int) -> Iterator[tuple[int, bytes]]:
    """Each block's place and bytes, framed by the lengths in their headers."""
    with Path(path).open("rb") as handle:
        handle.seek(at)
        piece, first = b"", 0
        while True:
            if len(piece) - first < (1 << 16):
                piece, first = piece[first:] + handle.read(_PIECE), 0
            if first == len(piece):
                return
            size = _block_size(piece, first)
            if size is None or first + size > len(piece):
                raise BrokenBam(path, f"byte {at}", "no whole BGZF block begins there")
            yield at, piece[first : first + size]
            first += size
            at += size


def _block_size(piece: bytes, first: int) -> int | None:
    """The length of the block at `first`, from the subfield BC of its gzip header; None if there is none."""
    if piece[first : first + 4] != _MAGIC:
        return None
    at = first + 12
    end = at + int.from_bytes(piece[first + 10 : first + 12], "little")
    while at + 4 <= min(end, len(piece)):
        length = int.from_bytes(piece[at + 2 : at + 4], "little")
        if piece[at : at + 2] == b"BC" and length == 2:
            size = int.from_bytes(piece[at + 4 : at + 6], "little") + 1
            return size if size >= end + 8 - first else None
        at += 4 + length
    return None


def _grouped(blocks: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    group: list[tuple[int, bytes]] = []
    for block in blocks:
        group.append(block)
        if len(group) == _BLOCKS_A_CHUNK:
            yield group
            group = []
    if group:
        yield group


def _inflate(path: Path | str, group: list[tuple[int, bytes]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = [int.from_bytes(block[-4:], "little") for _, block in group]
    block_start = _HEADROOM + np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    if max(sizes) > 1 << 16:
        at = group[int(np.argmax(sizes))][0]
        raise BrokenBam(path, f"byte {at}", "a BGZF block says that it holds more than 65,536 bytes")
    data = np.empty(int(block_start[-1]), dtype=np.uint8)
    view = data.data
    for (at, block), size, start in zip(group, sizes, block_start.tolist(), strict=False):
        try:
            inflated = isal_zlib.decompress(block, _GZIP_WINDOW, max(size, 1))
        except (isal_zlib.IsalError, EOFError) as error:  # type: ignore[misc]
            raise BrokenBam(path, f"byte {at}", f"the BGZF block cannot be inflated ({error})") from None
        if len(inflated) != size:
            raise BrokenBam(path, f"byte {at}", f"the BGZF block holds {len(inflated)} bytes and says {size}")
        view[start : start + size] = inflated
    return data, np.array([at for at, _ in group]), block_start[:-1]


@compiled
def _walk(data: np.ndarray, start: int) -> tuple[int, int, int]:
    """Where the last whole record ends, the number of records, and the length of one that cannot be (or _FITS)."""
    at, n = start, 0
    while at + 4 <= data.size:
        size = read_int32(data, at)
        if size < _SHORTEST_RECORD or size > _LONGEST_RECORD:
            return at, n, size
        if at + 4 + size > data.size:
            break
        at += 4 + size
        n += 1
    return at, n, _FITS


@compiled
def read_int32(data, at):  # type: ignore[no-untyped-def]
    """The little-endian int32 in bytes at..at + 4, which need not be aligned; the caller has checked their number."""
    return np.int64(
        np.int32(
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
    )
