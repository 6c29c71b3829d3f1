"""The list of a sample's barcodes, and texts (barcodes, UMIs) as numbers that compiled code can compare.

A text of A, C, G and T, up to 31 bases, is packed two bits a base behind a leading 1, so that different texts have
different numbers. Any other text (a UMI with N, a longer one) gets a negative number by a 63-bit hash (FNV-1a): equal
texts agree, different ones collide with a chance of 10⁻¹⁹ a pair.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from re import compile as pattern

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake
from velocorpus.files import open_text

_BARCODE = pattern(r"[ACGTN]+(-\d+)?")
_LONGEST_PACKED = 31
_DASH = ord("-")
NOT_LISTED = -1

# Two bits a base; 4 for anything else.
_CODE = np.full(256, 4, dtype=np.int64)
for _code, _base in enumerate(b"ACGT"):
    _CODE[_base] = _code


def read_barcodes(path: Path | str) -> tuple[str, ...]:
    """The listed barcodes without their `-1`, in the order of the list (plain or gzip, first column).

    Refused: an empty list, something that is no barcode, a barcode twice, and a list of several libraries, in which
    two barcodes differ only in their suffix (velocyto would add them up).
    """
    with open_text(path) as lines:
        numbered = [(number, line.split()[0]) for number, line in enumerate(lines, start=1) if line.strip()]
    listed = [barcode for _, barcode in numbered]
    if not listed:
        raise UserMistake(f"{path} lists no barcodes; give one barcode a line.")
    for number, barcode in numbered:
        if not _BARCODE.fullmatch(barcode):
            raise UserMistake(
                f"{path}, line {number}: '{barcode}' is not a barcode; give one a line, of A, C, G and T."
            )
    bare = tuple(barcode.split("-")[0] for barcode in listed)
    if len(set(bare)) < len(bare):
        twice = Counter(bare).most_common(1)[0][0]
        raise UserMistake(
            f"{path} lists {len(bare) - len(set(bare))} barcodes twice (first: {twice}), suffixes like -1 aside;"
            " list each once, and count every library by itself."
        )
    return bare


@compiled
def pack_text(text, first, end):  # type: ignore[no-untyped-def]
    """The number of the text in bytes first..end (end not included) of `text`, uint8."""
    packed = np.int64(1)
    if end - first <= _LONGEST_PACKED:
        for i in range(first, end):
            code = _CODE[text[i]]
            if code > 3:
                packed = np.int64(0)
                break
            packed = packed << 2 | code
        if packed:
            return packed
    digest = np.uint64(0xCBF29CE484222325)
    for i in range(first, end):
        digest = (digest ^ np.uint64(text[i])) * np.uint64(0x100000001B3)
    return np.int64(digest >> np.uint64(1)) - np.int64(2**63 - 1) - 1


@compiled
def spread(number):  # type: ignore[no-untyped-def]
    """A 64-bit mix of a number (the finaliser of MurmurHash3), for hash tables and partitions."""
    x = np.uint64(number)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    x = (x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64((x ^ (x >> np.uint64(33))) >> np.uint64(1))


def barcode_table(barcodes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """A hash table from packed barcode to its place in the list: keys (int64, 0 = free) and places (int32)."""
    texts = np.frombuffer("".join(barcodes).encode(), dtype=np.uint8)
    ends = np.cumsum([len(barcode) for barcode in barcodes])
    size = 1 << max(4, int(2 * len(barcodes) - 1).bit_length())
    keys, places = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int32)
    _fill(texts, ends, keys, places)
    return keys, places


@compiled
def _fill(texts, ends, keys, places):  # type: ignore[no-untyped-def]
    first = 0
    for i in range(ends.size):
        key = pack_text(texts, first, ends[i])
        slot = spread(key) & (keys.size - 1)
        while keys[slot] != 0:
            slot = (slot + 1) & (keys.size - 1)
        keys[slot] = key
        places[slot] = i
        first = ends[i]


def unpack_text(packed: int) -> str:
    """The text of a number that is not negative."""
    n = (packed.bit_length() - 1) // 2
    return "".join("ACGT"[packed >> 2 * (n - 1 - i) & 3] for i in range(n))


@compiled
def pack_barcode(text, first, end):  # type: ignore[no-untyped-def]
    """The number of the barcode in bytes first..end of `text`, up to its first `-`."""
    stop = first
    while stop < end and text[stop] != _DASH:
        stop += 1
    return pack_text(text, first, stop)


@compiled
def find_barcode(key, keys, places):  # type: ignore[no-untyped-def]
    """Place in the list of a packed barcode, or NOT_LISTED."""
    slot = spread(key) & (keys.size - 1)
    while keys[slot] != 0:
        if keys[slot] == key:
            return places[slot]
        slot = (slot + 1) & (keys.size - 1)
    return np.int32(NOT_LISTED)
