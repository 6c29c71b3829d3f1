"""From a BAM's raw records to the reads that may count: which cell, which molecule, where.

What a read must be is velocyto's: mapped; to one place (NH = 1, or MAPQ 255 where the aligner wrote no NH); with a cell
barcode and a UMI tag; the barcode on the list. Every length in a record is checked before it is used (SAM
specification, section 4.2), and a record that contradicts itself is refused with its place in the file.
"""

from dataclasses import dataclass

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.accounting import FLAGGED, MULTIMAPPED, N_READ_OUTCOMES, ODD_UMI, UNLISTED, UNMAPPED, UNTAGGED
from velocorpus.counting.alignments.bgzf import BrokenBam, Chunk
from velocorpus.counting.alignments.words import find_nul, read_int32
from velocorpus.counting.barcodes import NOT_LISTED, find_barcode, pack_barcode, pack_text

UNIQUE_MAPQ = 255  # of STAR and Cell Ranger
FLAG_UNMAPPED = 0x4
# Secondary, failed, duplicate, supplementary: velocyto does not look at them.
FLAGS_ASIDE = 0x100 | 0x200 | 0x400 | 0x800

_HEAD = 36  # bytes of a record before its name, its own length included
_SOFT_CLIP, _LAST_OPERATION = 4, 8
_TAKES_QUERY = 0b110010011  # bit o: CIGAR operation o of MIDNSHP=X
_LAST_POSITION = 2**31 - 2
_NOT_SEEN, _NO_TEXT = -1, -2
_ONE_AS_FLOAT = 0x3F800000

# What can be wrong with a record.
_OK, _FIELDS, _REFERENCE, _POSITION, _CIGAR, _BASES, _TAG_TYPE, _TAG_LENGTH, _TEXT = range(9)
_WRONG = {
    _FIELDS: "a record whose name, CIGAR, sequence and qualities are longer than itself",
    _REFERENCE: "a record on a chromosome that the header does not have",
    _POSITION: "a record at a position that no chromosome has",
    _CIGAR: "a CIGAR with an operation that does not exist",
    _BASES: "a CIGAR of more or fewer bases than the read has",
    _TAG_TYPE: "a tag of a type that does not exist",
    _TAG_LENGTH: "a tag that is longer than its record",
    _TEXT: "a barcode or UMI with a byte that is no printable character",
}


@dataclass(frozen=True)
class Selection:
    """Which reads may count, and by which tags they are known."""

    keys: np.ndarray  # of `barcodes.barcode_table`; empty: every barcode will do, and all are cell 0
    places: np.ndarray
    cell_tag: str = "CB"
    umi_tag: str = "UB"
    skip_flagged: bool = False  # a correction of velocyto, see `corrections`
    skip_odd_umis: bool = False


@dataclass(frozen=True, eq=False)
class ReadBatch:
    """Reads that may count, as parallel arrays, and what became of the others.

    Read `r` begins at `position[r]` (1-based) of the BAM's chromosome `chromosome[r]`; its CIGAR is the
    `n_operations[r]` little-endian uint32 from byte `cigar_at[r]` of `bytes` on, as in a BAM record.
    """

    chromosome: np.ndarray  # int32
    position: np.ndarray  # int32
    minus: np.ndarray  # bool
    cell: np.ndarray  # int32, place in the list of barcodes
    barcode: np.ndarray  # int64, see `barcodes.pack_text`
    umi: np.ndarray  # int64, see `barcodes.pack_text`
    cigar_at: np.ndarray  # int64
    n_operations: np.ndarray  # int32
    bytes: np.ndarray  # uint8
    outcomes: np.ndarray  # int64, records by `accounting`; those of the reads here are not in it
    n_without_nh: int


def decode(path: object, chunk: Chunk, n_chromosomes: int, selection: Selection) -> ReadBatch:
    """The reads of a chunk that may count; `BrokenBam` for a record that contradicts itself."""
    n = chunk.n_records
    chromosome, position, cell, n_operations = (np.empty(n, dtype=np.int32) for _ in range(4))
    barcode, umi, cigar_at = (np.empty(n, dtype=np.int64) for _ in range(3))
    minus = np.empty(n, dtype=np.bool_)
    outcomes = np.zeros(N_READ_OUTCOMES, dtype=np.int64)
    kept, n_without_nh, wrong, at = _decode(
        chunk.data, chunk.start, n, n_chromosomes, selection.keys, selection.places,
        np.frombuffer((selection.cell_tag + selection.umi_tag).encode(), dtype=np.uint8),
        selection.skip_flagged, selection.skip_odd_umis,
        chromosome, position, minus, cell, barcode, umi, cigar_at, n_operations, outcomes,
    )  # fmt: skip
    if wrong:
        raise BrokenBam(str(path), chunk.place(at), _WRONG[wrong])
    return ReadBatch(
        chromosome[:kept], position[:kept], minus[:kept], cell[:kept], barcode[:kept], umi[:kept], cigar_at[:kept],
        n_operations[:kept], chunk.data, outcomes, n_without_nh,
    )  # fmt: skip


@compiled
def _decode(  # type: ignore[no-untyped-def]
    data, at, n, n_chromosomes, keys, places, tags, skip_flagged, skip_odd_umis,
    chromosome, position, minus, cell, barcode, umi, cigar_at, n_operations, outcomes,
):  # fmt: skip
    """Write the reads that may count to the arrays; return their number, those without NH, what is wrong and where."""
    kept = n_without_nh = 0
    for _ in range(n):
        record, end = at, at + 4 + read_int32(data, at)
        at = end
        reference = read_int32(data, record + 4)
        flag = np.int64(data[record + 18]) | np.int64(data[record + 19]) << 8
        n_cigar = np.int64(data[record + 16]) | np.int64(data[record + 17]) << 8
        n_bases = read_int32(data, record + 20)
        cigar = record + _HEAD + np.int64(data[record + 12])
        tag = cigar + 4 * n_cigar + (n_bases + 1) // 2 + n_bases
        if n_bases < 0 or tag > end or data[record + 12] == 0:
            return kept, n_without_nh, _FIELDS, record
        mate = read_int32(data, record + 24)
        if reference < -1 or reference >= n_chromosomes or mate < -1 or mate >= n_chromosomes:
            return kept, n_without_nh, _REFERENCE, record
        unmapped = flag & FLAG_UNMAPPED != 0 or reference < 0
        start = read_int32(data, record + 8)
        if not unmapped and (start < -1 or start > _LAST_POSITION):
            return kept, n_without_nh, _POSITION, record

        # Of a tag that stands twice, the first counts.
        hits = np.int64(_NOT_SEEN)
        cell_first = cell_end = umi_first = umi_end = np.int64(_NOT_SEEN)
        long_cigar_seen = False
        while tag < end:
            if tag + 4 > end:
                return kept, n_without_nh, _TAG_LENGTH, record
            a, b, kind = data[tag], data[tag + 1], data[tag + 2]
            first = tag + 3
            value_end = np.int64(_NO_TEXT)
            if kind == 90 or kind == 72:  # Z, H
                value_end = find_nul(data, first, end)
                tag = value_end + 1
            elif kind == 65:  # A
                tag = value_end = first + 1
            elif kind == 67 or kind == 99:  # C, c
                tag = first + 1
            elif kind == 83 or kind == 115:  # S, s
                tag = first + 2
            elif kind == 73 or kind == 105 or kind == 102:  # I, i, f
                tag = first + 4
            elif kind == 66:  # B
                if first + 5 > end:
                    return kept, n_without_nh, _TAG_LENGTH, record
                size = _element_size(data[first])
                count = read_int32(data, first + 1)
                if size == 0:
                    return kept, n_without_nh, _TAG_TYPE, record
                if count < 0:
                    return kept, n_without_nh, _TAG_LENGTH, record
                tag = first + 5 + size * count
            else:
                return kept, n_without_nh, _TAG_TYPE, record
            if tag > end:
                return kept, n_without_nh, _TAG_LENGTH, record
            if a == tags[0] and b == tags[1] and cell_end == _NOT_SEEN:
                cell_first, cell_end = first, value_end
            if a == tags[2] and b == tags[3] and umi_end == _NOT_SEEN:
                umi_first, umi_end = first, value_end
            if a == 78 and b == 72 and hits == _NOT_SEEN:  # NH
                hits = np.int64(_is_one(data, first, kind))
            elif a == 67 and b == 71 and not long_cigar_seen:  # CG:B,I: the CIGAR, where it is too long for its place
                long_cigar_seen = True
                if (
                    (kind == 66 and (data[first] == 73 or data[first] == 105) and reference >= 0 and start >= 0)
                    and (n_cigar and read_int32(data, cigar) == (n_bases << 4 | _SOFT_CLIP))
                    and read_int32(data, first + 1) >= n_cigar
                ):
                    cigar, n_cigar = first + 5, read_int32(data, first + 1)

        n_of_cigar = np.int64(0)
        for i in range(n_cigar):
            operation = data[cigar + 4 * i] & 15
            if operation > _LAST_OPERATION:
                return kept, n_without_nh, _CIGAR, record
            if _TAKES_QUERY >> operation & 1:
                n_of_cigar += (read_int32(data, cigar + 4 * i) & 0xFFFFFFFF) >> 4
        if n_cigar and n_bases and n_of_cigar != n_bases and flag & FLAG_UNMAPPED == 0:
            return kept, n_without_nh, _BASES, record
        if unmapped:
            outcomes[UNMAPPED] += 1
            continue
        if hits == _NOT_SEEN:
            n_without_nh += 1
            hits = np.int64(data[record + 13] == UNIQUE_MAPQ)
        if skip_flagged and flag & FLAGS_ASIDE:
            outcomes[FLAGGED] += 1
            continue
        if hits != 1:
            outcomes[MULTIMAPPED] += 1
            continue
        if cell_end < 0 or umi_end < 0:
            outcomes[UNTAGGED] += 1
            continue
        key = pack_barcode(data, cell_first, cell_end)
        place = find_barcode(key, keys, places) if keys.size else np.int32(0)
        if place == NOT_LISTED:
            outcomes[UNLISTED] += 1
            continue
        molecule = pack_text(data, umi_first, umi_end)
        if not _is_printable(data, cell_first, cell_end) or (
            molecule < 0 and not _is_printable(data, umi_first, umi_end)
        ):
            return kept, n_without_nh, _TEXT, record
        if skip_odd_umis and molecule < 0:
            outcomes[ODD_UMI] += 1
            continue
        chromosome[kept] = reference
        position[kept] = start + 1
        minus[kept] = flag & 16 != 0
        cell[kept] = place
        barcode[kept] = key
        umi[kept] = molecule
        cigar_at[kept] = cigar
        n_operations[kept] = n_cigar
        kept += 1
    return kept, n_without_nh, _OK, at


@compiled
def _element_size(kind):  # type: ignore[no-untyped-def]
    """Bytes of an element of an array tag; 0 for a type that does not exist."""
    if kind == 67 or kind == 99:
        return 1
    if kind == 83 or kind == 115:
        return 2
    return 4 if kind == 73 or kind == 105 or kind == 102 else 0


@compiled
def _is_one(data, first, kind):  # type: ignore[no-untyped-def]
    """Whether a tag's value is the number 1."""
    if kind == 67 or kind == 99:
        return data[first] == 1
    if kind == 83 or kind == 115:
        return data[first] == 1 and data[first + 1] == 0
    if kind == 73 or kind == 105:
        return read_int32(data, first) == 1
    return kind == 102 and read_int32(data, first) == _ONE_AS_FLOAT


@compiled
def _is_printable(text, first, end):  # type: ignore[no-untyped-def]
    odd = 0
    for i in range(first, end):
        odd += text[i] < 32 or text[i] > 126
    return odd == 0
