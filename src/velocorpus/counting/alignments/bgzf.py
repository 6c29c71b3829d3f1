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
from typing import NamedTuple, TypeVar

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.alignments.inflate import inflate
from velocorpus.counting.alignments.words import read_int32
from velocorpus.errors import UserMistake

_BLOCKS_A_CHUNK = 32  # some 2 MB of decompressed records
_HEADROOM = 1 << 16  # for what is carried over from the chunk before
_BUFFER_BYTES = _HEADROOM + (_BLOCKS_A_CHUNK << 16)
_PIECE = 1 << 20
_LONGEST_RECORD = 1 << 26
_SHORTEST_RECORD = 32
_FITS = 2**32  # no length that a record can say
_SHORTEST_BLOCK = 26  # its gzip header with the subfield BC, and its end

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
    spare: list[np.ndarray]  # buffers that are free again

    def free(self) -> None:
        """Let `data` be written over by a later chunk: fresh memory costs as much as a tenth of all the reading."""
        if self.data.size == _BUFFER_BYTES:
            self.spare.append(self.data)

    def place(self, byte: int) -> str:
        """Where in the file the record at `byte` of `data` lies, in words."""
        block = int(np.searchsorted(self.block_start, byte, side="right")) - 1
        if block < 0:
            return f"the end of the block before byte {self.block_at[0]}"
        return f"the block at byte {self.block_at[block]}, {byte - self.block_start[block]} bytes into it"


class _Group(NamedTuple):
    """Some blocks of a file: block i is `data[starts[i] : starts[i + 1]]`, from byte `at[i]` of the file on."""

    data: np.ndarray  # uint8
    starts: np.ndarray  # int64, blocks + 1
    at: np.ndarray  # int64


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
    carried = np.empty(0, dtype=np.uint8)
    skip = first_record & 0xFFFF
    spare: list[np.ndarray] = []
    groups = _groups(path, first_record >> 16)
    for data, block_at, block_start in in_order(pool, lambda group: _inflate(path, group, spare), groups, ahead):
        stop = int(block_start[-1])
        if carried.size <= _HEADROOM:
            start = _HEADROOM - carried.size
            data[start:_HEADROOM] = carried
        else:
            data = np.concatenate((carried, data[_HEADROOM:stop]))
            block_start += carried.size - _HEADROOM
            start, stop = 0, data.size
        start, skip = start + skip, 0
        end, n_records, size = _walk(data, start, stop)
        chunk = Chunk(data, start, end, n_records, block_at, block_start[:-1], spare)
        if size != _FITS:
            raise BrokenBam(path, chunk.place(end), f"a record says that it is {size} bytes long")
        carried = data[end:stop].copy()
        if n_records:
            yield chunk
    if carried.size:
        raise BrokenBam(path, "its end", f"the last record is cut, {carried.size} bytes of it are there")


def _groups(path: Path | str, at: int) -> Iterator[_Group]:
    """The file's blocks from the one at byte `at` on, framed by the lengths in their headers, some at a time."""
    with Path(path).open("rb") as handle:
        handle.seek(at)
        left = b""
        while piece := left + handle.read(_PIECE):
            data = np.frombuffer(piece, dtype=np.uint8)
            first = 0
            while True:
                starts = np.empty(_BLOCKS_A_CHUNK + 1, dtype=np.int64)
                n, is_broken = _frame(data, first, starts)
                if is_broken or (n == 0 and first == 0):
                    raise BrokenBam(path, f"byte {at + starts[n]}", "no whole BGZF block begins there")
                if n == 0:
                    break
                yield _Group(data, starts[: n + 1], at + starts[:n])
                first = int(starts[n])
            left = piece[first:]
            at += first


@compiled
def _frame(data, first, starts):  # type: ignore[no-untyped-def]
    """Write where blocks begin, and where the last of them ends, until the next is not whole or `starts` is full.

    Returns the number of blocks, and whether what follows them cannot be one. The length of a block is in the
    subfield BC of its gzip header.
    """
    starts[0] = first
    for n in range(starts.size - 1):
        if data.size - first < _SHORTEST_BLOCK:
            return n, False
        if data[first] != 0x1F or data[first + 1] != 0x8B or data[first + 2] != 8 or data[first + 3] != 4:
            return n, True
        at = first + 12
        head = at + (np.int64(data[first + 10]) | np.int64(data[first + 11]) << 8)
        if head > data.size:
            return n, False
        size = np.int64(0)
        while size == 0 and at + 6 <= head:
            length = np.int64(data[at + 2]) | np.int64(data[at + 3]) << 8
            if data[at] == 66 and data[at + 1] == 67 and length == 2:  # BC
                size = (np.int64(data[at + 4]) | np.int64(data[at + 5]) << 8) + 1
            at += 4 + length
        if size < head + 8 - first:
            return n, True
        if first + size > data.size:
            return n, False
        first += size
        starts[n + 1] = first
    return starts.size - 1, False


def _inflate(path: Path | str, group: _Group, spare: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A group's bytes behind some headroom, the places of its blocks in the file, and in those bytes with their end."""
    ends = group.starts[1:]
    sizes = group.data[ends[:, None] + np.arange(-4, 0)].view("<u4").ravel().astype(np.int64)
    if sizes.max() > 1 << 16:
        at = group.at[int(np.argmax(sizes))]
        raise BrokenBam(path, f"byte {at}", "a BGZF block says that it holds more than 65,536 bytes")
    block_start = _HEADROOM + np.concatenate([[0], np.cumsum(sizes)])
    try:
        data = spare.pop()
    except IndexError:
        data = np.empty(_BUFFER_BYTES, dtype=np.uint8)
    failed = inflate(group.data, group.starts, data, block_start)
    if failed is not None:
        raise BrokenBam(path, f"byte {group.at[failed]}", "the BGZF block there cannot be inflated")
    return data, group.at, block_start


@compiled
def _walk(data: np.ndarray, start: int, stop: int) -> tuple[int, int, int]:
    """Where the last whole record ends, the number of records, and the length of one that cannot be (or _FITS)."""
    at, n = start, 0
    while at + 4 <= stop:
        size = read_int32(data, at)
        if size < _SHORTEST_RECORD or size > _LONGEST_RECORD:
            return at, n, size
        if at + 4 + size > stop:
            break
        at += 4 + size
        n += 1
    return at, n, _FITS
