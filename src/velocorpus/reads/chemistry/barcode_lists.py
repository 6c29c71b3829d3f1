"""Lists of allowed barcodes as sorted numbers, and how well reads fit them.

Lists overlap: one barcode in ten of 10x v2's list stands on v3's too, so a fit is judged by what one list explains and
the other does not.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake, mistakes_in
from velocorpus.files import existing
from velocorpus.reads.chemistries import CHEMISTRIES, carried_lists, list_name
from velocorpus.reads.chemistry.sampling import ReadSample, content_of, reverse_complement, words

# Lists of 10x's that are of no gene expression of single cells.
OTHER_ASSAYS = {
    "10x ATAC": "10x_atac_whitelist.txt.gz",
    "10x multiome ATAC": "10x_multiome_atac_whitelist.txt.gz",
    "10x Visium": "visium_whitelist.txt.gz",
}
# All that ngs-tools carries, each once.
CARRIED = {
    name: one.barcode_list for name, one in CHEMISTRIES.items() if one.barcode_list and list_name(name) == name
} | OTHER_ASSAYS
# Where barcodes are searched: further inside no known convention has them.
OFFSETS = 24
SEARCHED_READS = 300
PREFIX_BITS = 16


@dataclass(frozen=True)
class BarcodeList:
    """One list: `codes`, sorted uint64 (n,), of barcodes with `length` bases."""

    name: str
    length: int
    codes: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """Where the numbers with each beginning of `PREFIX_BITS` start: a search need not go through all the list."""
        heads = np.arange(2**PREFIX_BITS + 1, dtype=np.uint64) << np.uint64(max(2 * self.length - PREFIX_BITS, 0))
        return np.searchsorted(self.codes, heads)

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Which numbers stand on the list: bool (n,) for uint64 (n,)."""
        return _holds(self.codes, self.starts, np.uint64(max(2 * self.length - PREFIX_BITS, 0)), values)


@compiled
def _holds(codes: np.ndarray, starts: np.ndarray, shift: np.uint64, values: np.ndarray) -> np.ndarray:
    found = np.zeros(len(values), np.bool_)
    for i in range(len(values)):
        head = np.int64(values[i] >> shift)
        low, high = starts[head], starts[head + 1]
        while low < high:
            middle = (low + high) // 2
            if codes[middle] < values[i]:
                low = middle + 1
            else:
                high = middle
        found[i] = low < len(codes) and codes[low] == values[i]
    return found


@dataclass(frozen=True)
class Place:
    """Where barcodes begin in a read, and whether they are turned (reverse complement)."""

    offset: int = 0
    turned: bool = False


def read_list(name: str, path: Path | str) -> BarcodeList:
    """Read a list, plain or gzip, one barcode of A, C, G, T a line, all of one length (8 to 31)."""
    with mistakes_in(path):
        text = _bytes(existing(path, "list of barcodes"))
        width = text.find(b"\n") + 1
        if not 9 <= width <= 32 or len(text) % width:
            raise UserMistake("not a list of barcodes: one of A, C, G, T a line, all of one length (no '-1').")
        codes, bad = _parse(np.frombuffer(text, np.uint8), width)
        if bad >= 0:
            line = text[bad * width : (bad + 1) * width].strip().decode("latin-1")
            raise UserMistake(f"line {bad + 1} is '{line}', no barcode of A, C, G, T; give a plain list.")
    in_order = bool((codes[1:] > codes[:-1]).all())
    return BarcodeList(name, width - 1, codes if in_order else np.unique(codes))


def _bytes(path: Path) -> bytes:
    """All of a list, each line ended by a single line feed."""
    try:
        with content_of(path) as text:
            found = bytes(text.read()).replace(b"\r\n", b"\n")
    except (EOFError, OSError, zlib.error) as error:
        raise UserMistake(f"the file is damaged ({error}); copy it again.") from None
    return found if found.endswith(b"\n") else found + b"\n"


@compiled
def _parse(text: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """Numbers of the lines, and the first line (from 0) that is no barcode, or -1."""
    codes = np.zeros(len(text) // width, np.uint64)
    for row in range(len(codes)):
        value = np.uint64(0)
        for column in range(width - 1):
            letter = text[row * width + column]
            if letter == 65:
                base = 0
            elif letter == 67:
                base = 1
            elif letter == 71:
                base = 2
            elif letter == 84:
                base = 3
            else:
                return codes, row
            value = value << np.uint64(2) | np.uint64(base)
        if text[row * width + width - 1] != 10:
            return codes, row
        codes[row] = value
    return codes, -1


def known_lists(given: Mapping[str, Path | str]) -> list[BarcodeList]:
    """The lists that ngs-tools carries, with `given` (chemistry → file) in their places or beside them."""
    folder = carried_lists()
    if folder is None and not given:
        raise UserMistake("No barcode list is at hand; install velocorpus[counts], or give lists with --whitelist.")
    paths: dict[str, Path | str] = {name: folder / file for name, file in CARRIED.items()} if folder else {}
    return [read_list(name, path) for name, path in (paths | dict(given)).items()]


def listed(sample: ReadSample, barcodes: BarcodeList, place: Place) -> np.ndarray:
    """Which reads have a barcode of the list at `place`: bool (n,)."""
    values, whole = words(sample.codes, place.offset, barcodes.length)
    return whole & barcodes.holds(reverse_complement(values, barcodes.length) if place.turned else values)


def distinct_listed(sample: ReadSample, barcodes: BarcodeList, place: Place) -> int:
    """How many different barcodes of the list the reads have at `place`."""
    values, _ = words(sample.codes, place.offset, barcodes.length)
    return len(np.unique(values[listed(sample, barcodes, place)]))


def best_place(sample: ReadSample, barcodes: BarcodeList) -> Place:
    """The offset and direction at which most of the first `SEARCHED_READS` reads stand on the list; 0 when equal.

    Different barcodes are counted, not reads: one adapter's sequence stands on some list by chance.
    """
    best, most = Place(), -1
    for offset in range(max(min(OFFSETS, sample.codes.shape[1] - barcodes.length), 0) + 1):
        values, whole = words(sample.codes[:SEARCHED_READS], offset, barcodes.length)
        values = np.unique(values[whole])
        for turned in (False, True):
            found = int(barcodes.holds(reverse_complement(values, barcodes.length) if turned else values).sum())
            if found > most:
                best, most = Place(offset, turned), found
    return best
