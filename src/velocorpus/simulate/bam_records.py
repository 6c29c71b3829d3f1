"""BAM records as bytes, compiled: what `bam.py` writes as text, many times faster and as rough as an aligner's.

A record is as Cell Ranger writes it (tags NH HI AS nM RE TX GX GN fx li CR CY CB UR UY UB xf RG; about 440 bytes, real
ones have 490 to 590). What is random in a record follows from the seed and the read's number alone, by splitmix64; so
bytes do not depend on how reads are cut into calls.
"""

from typing import NamedTuple

import numpy as np

from velocorpus.compiled import compiled

RECORD_LIMIT = 1024  # bytes; a read of 91 bases with the tags above stays below
GROUP = "SIM:0:1:SIMFLOWCL:1"
MATCH, INSERTION, DELETION, SKIP, SOFT_CLIP = 0, 1, 2, 3, 4
INSERTED, DELETED = 1, 2  # kinds of `Places.indel`
_UNMAPPED, _REVERSE, _SECONDARY = 4, 16, 256
_NIBBLE = np.zeros(256, np.uint8)
_NIBBLE[np.frombuffer(b"ACGT", np.uint8)] = (1, 2, 4, 8)
_ACGT = np.frombuffer(b"ACGT", np.uint8)
_NAME = np.frombuffer(b"SIM00001:15:SIMFLOWCL:1:0000:00000:00000\0", np.uint8)
_NAME_DIGITS = ((24, 4), (29, 5), (35, 5))  # where its numbers stand, and of how many digits
# 38,271,604,567 has no factor with 10**14 in common: numbers become other numbers of 14 digits, each once.
_SCATTER = 38_271_604_567
_WRONG_BASE, _NO_UMI = int(0.004 * 2**16), int(0.005 * 2**16)
_WRONG_BARCODE, _WRONG_UMI = int(0.01 * 2**16), int(0.005 * 2**16)
# The tags as they stand in a record, of fixed length but for names; what differs between reads is written over them.
_PLACE_TAGS = np.frombuffer(b"NHC0HIC0ASC0nMC0REA0", np.uint8)
_TRANSCRIPT_TAG = np.frombuffer(b"TXZ", np.uint8)
_TRANSCRIPT_END = np.frombuffer(b",+000000,91M\0", np.uint8)
_GENE_TAGS = tuple(np.frombuffer(tag, np.uint8) for tag in (b"GXZ", b"GNZ", b"fxZ"))
_BARCODE_TAGS = np.frombuffer(b"liC\0CRZ................\0CYZ................\0", np.uint8)
_CELL_TAG = np.frombuffer(b"CBZ................-1\0", np.uint8)
_UMI_TAGS = np.frombuffer(b"URZ............\0UYZ............\0", np.uint8)
_MOLECULE_TAG = np.frombuffer(b"UBZ............\0", np.uint8)
_LAST_TAGS = np.frombuffer(b"xfC0RGZ" + GROUP.encode() + b"\0", np.uint8)


class Reads(NamedTuple):
    """Per read: `number` (unique over the BAM), `barcode` (row, −1: on no list), `umi` (2 bits a base), `n_hits`,
    `counted` (it stands for its molecule)."""

    number: np.ndarray
    barcode: np.ndarray
    umi: np.ndarray
    n_hits: np.ndarray
    counted: np.ndarray


class Places(NamedTuple):
    """Per place: the chromosome's number (−1: unmapped), its blocks on it as in `templates.Blocks`, bases clipped from
    the ends, an indel (kind, size, bases before it; only with one block), strand, and as `gene` and `transcript` the
    row of their names (−1 without) with the place's start on the transcript."""

    chromosome: np.ndarray
    ptr: np.ndarray
    start: np.ndarray
    end: np.ndarray
    left_clip: np.ndarray
    right_clip: np.ndarray
    indel: np.ndarray
    indel_size: np.ndarray
    indel_after: np.ndarray
    reverse: np.ndarray
    gene: np.ndarray
    transcript: np.ndarray
    on_transcript: np.ndarray


class Texts(NamedTuple):
    """Texts as rows of ASCII (uint8, ended by 0 or the row's end); chromosomes' bases, each from its `offset` on."""

    barcodes: np.ndarray
    gene_ids: np.ndarray
    symbols: np.ndarray
    transcripts: np.ndarray
    bases: np.ndarray
    offset: np.ndarray


def as_rows(texts: list[str]) -> np.ndarray:
    """Texts as uint8 (n, longest + 1), filled up with zeros."""
    longest = max(map(len, texts), default=0) + 1
    return np.array(texts, dtype=f"S{longest}").view(np.uint8).reshape(len(texts), longest)


@compiled
def encode(record_read, record_place, first, reads, places, texts, length, seed, out, ends):  # type: ignore[no-untyped-def]
    """Write records `first:first + len(ends)` to `out`, and to `ends` where each ends.

    A record is of read `record_read` at place `record_place`; at another place than the read's own it is secondary.
    """
    at = np.int64(0)
    cigar = np.empty(64, np.uint32)
    bases = np.empty(length, np.uint8)
    for i in range(ends.size):
        k, p = record_read[first + i], record_place[first + i]
        state = np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(reads.number[k])
        at = _record(k, p, state, reads, places, texts, length, cigar, bases, out, at)
        ends[i] = at


@compiled
def _mix(state):  # type: ignore[no-untyped-def]
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def _draw(state, n):  # type: ignore[no-untyped-def]
    """The n-th random word of a read."""
    return _mix(state * np.uint64(0x2545F4914F6CDD1D) + np.uint64(n + 1) * np.uint64(0x9E3779B97F4A7C15))


@compiled
def _int(out, at, value):  # type: ignore[no-untyped-def]
    for i in range(4):
        out[at + i] = (value >> (8 * i)) & 255
    return at + 4


@compiled
def _digits(out, at, value, width):  # type: ignore[no-untyped-def]
    for i in range(width - 1, -1, -1):
        out[at + i] = 48 + value % 10
        value //= 10


@compiled
def _copy(out, at, row):  # type: ignore[no-untyped-def]
    for c in row:
        out[at] = c
        at += 1
    return at


@compiled
def _name(out, at, row):  # type: ignore[no-untyped-def]
    """Copy a text that is filled up with zeros, with one of them."""
    for c in row:
        out[at] = c
        at += 1
        if c == 0:
            break
    return at


@compiled
def _bin(start, end):  # type: ignore[no-untyped-def]
    """The bin of the index that an interval belongs to (SAM specification, section 5.3)."""
    end -= 1
    for shift, base in ((14, 4681), (17, 585), (20, 73), (23, 9), (26, 1)):
        if start >> shift == end >> shift:
            return base + (start >> shift)
    return 0


@compiled
def _cigar(p, places, length, cigar):  # type: ignore[no-untyped-def]
    """Write a place's CIGAR; return the number of its operations, its first and its last reference base (half-open)."""
    if places.chromosome[p] < 0:
        return 0, -1, -1
    n = 0
    left, right = places.left_clip[p], places.right_clip[p]
    low, high = places.ptr[p], places.ptr[p + 1]
    if left:
        cigar[n] = (left << 4) | SOFT_CLIP
        n += 1
    for b in range(low, high):
        start = places.start[b] + (left if b == low else 0)
        end = places.end[b] - (right if b == high - 1 else 0)
        if b > low:
            cigar[n] = ((start - places.end[b - 1]) << 4) | SKIP
            n += 1
        size = end - start
        if places.indel[p]:
            before, gap = places.indel_after[p], places.indel_size[p]
            inserted = places.indel[p] == INSERTED
            cigar[n] = (before << 4) | MATCH
            cigar[n + 1] = (gap << 4) | (INSERTION if inserted else DELETION)
            cigar[n + 2] = ((size - before - (gap if inserted else 0)) << 4) | MATCH
            n += 3
        else:
            cigar[n] = (size << 4) | MATCH
            n += 1
    if right:
        cigar[n] = (right << 4) | SOFT_CLIP
        n += 1
    end = places.end[high - 1] - right
    if places.indel[p] == INSERTED:
        end -= places.indel_size[p]
    elif places.indel[p] == DELETED:
        end += places.indel_size[p]
    return n, places.start[low] + left, end


@compiled
def _sequence(start, chromosome, cigar, n, texts, bases, state):  # type: ignore[no-untyped-def]
    """Fill `bases` along a CIGAR: the genome's where it matches, random ones where not; returns wrong bases."""
    wrong = filled = 0
    at = start + (texts.offset[chromosome] if chromosome >= 0 else 0)
    if n == 0:
        for j in range(bases.size):
            bases[j] = _ACGT[_draw(state, 100 + j) & np.uint64(3)]
    for c in range(n):
        operation, size = cigar[c] & 15, np.int64(cigar[c] >> 4)
        if operation == MATCH:
            for _ in range(size):
                r = _draw(state, 100 + filled)
                bases[filled] = texts.bases[at]
                if (r >> np.uint64(8)) & np.uint64(0xFFFF) < _WRONG_BASE:
                    bases[filled] = _ACGT[r & np.uint64(3)]
                    wrong += 1
                filled += 1
                at += 1
        elif operation in (INSERTION, SOFT_CLIP):
            for _ in range(size):
                bases[filled] = _ACGT[_draw(state, 100 + filled) & np.uint64(3)]
                filled += 1
        else:
            at += size
    return wrong


@compiled
def _quality(r, j, length):  # type: ignore[no-untyped-def]
    """One of a NovaSeq's binned qualities, worse towards the end."""
    u = (r >> np.uint64(40)) & np.uint64(0xFFFF)
    poor = 131 + 1180 * j // length
    return 11 if u < poor else 25 if u < 4 * poor else 37


@compiled
def _qualities(out, at, size, state, first):  # type: ignore[no-untyped-def]
    for j in range(size):
        out[at + j] = 33 + _quality(_draw(state, first + j), 0, 1)


@compiled
def _mistake(out, at, size, state, n):  # type: ignore[no-untyped-def]
    """Another base, or by chance the same, somewhere in a text."""
    r = _draw(state, n)
    out[at + np.int64((r >> np.uint64(2)) % np.uint64(size))] = _ACGT[r & np.uint64(3)]


@compiled
def _umi(out, at, umi):  # type: ignore[no-untyped-def]
    for j in range(12):
        out[at + j] = _ACGT[(umi >> (2 * (11 - j))) & 3]


@compiled
def _record(k, p, state, reads, places, texts, length, cigar, bases, out, begin):  # type: ignore[no-untyped-def]
    n_cigar, start, end = _cigar(p, places, length, cigar)
    chromosome = places.chromosome[p]
    mapped = chromosome >= 0
    secondary = p != k
    hits = reads.n_hits[k]
    flag = (places.reverse[p] * _REVERSE if mapped else _UNMAPPED) | (secondary * _SECONDARY)
    wrong = _sequence(start, chromosome, cigar, n_cigar, texts, bases, state)
    mapq = (255 if hits == 1 else 3 if hits == 2 else 1 if hits < 5 else 0) if mapped else 0
    bin_of = _bin(start, end) if mapped else 4680
    at = begin + 4
    for word in (
        chromosome, start, _NAME.size | mapq << 8 | bin_of << 16, n_cigar | flag << 16, length, -1, -1, 0,
    ):  # fmt: skip
        at = _int(out, at, word)
    name_at = at
    at = _copy(out, at, _NAME)
    name = (reads.number[k] * _SCATTER) % 10**14
    for place, width in _NAME_DIGITS:
        _digits(out, name_at + place, name, width)
        name //= 10**width
    for c in range(n_cigar):
        at = _int(out, at, np.int64(cigar[c]))
    for j in range(0, length, 2):
        low = _NIBBLE[bases[j + 1]] if j + 1 < length else np.uint8(0)
        out[at] = (_NIBBLE[bases[j]] << 4) | low
        at += 1
    for j in range(length):
        along = length - 1 - j if flag & _REVERSE else j
        out[at + j] = _quality(_draw(state, 100 + j), along, length)
    at = _tags(k, p, state, wrong, secondary, reads, places, texts, length, out, at + length)
    _int(out, begin, at - begin - 4)
    return at


@compiled
def _tags(k, p, state, wrong, secondary, reads, places, texts, length, out, at):  # type: ignore[no-untyped-def]
    gene, transcript = places.gene[p], places.transcript[p]
    hits = reads.n_hits[k]
    confident = hits == 1 and gene >= 0
    if places.chromosome[p] >= 0:
        at = _copy(out, at, _PLACE_TAGS)
        out[at - 17] = hits
        out[at - 13] = 1 + secondary
        out[at - 9] = length - 2 - 2 * wrong - places.left_clip[p] - places.right_clip[p]
        out[at - 5] = wrong
        out[at - 1] = 69 if transcript >= 0 else 78 if gene >= 0 else 73  # E, N or I
        if transcript >= 0:
            at = _name(out, _copy(out, at, _TRANSCRIPT_TAG), texts.transcripts[transcript])
            at = _copy(out, at - 1, _TRANSCRIPT_END)
            _digits(out, at - 11, places.on_transcript[p], 6)
        if confident:
            at = _name(out, _copy(out, at, _GENE_TAGS[0]), texts.gene_ids[gene])
            at = _name(out, _copy(out, at, _GENE_TAGS[1]), texts.symbols[gene])
            at = _name(out, _copy(out, at, _GENE_TAGS[2]), texts.gene_ids[gene])
    r = _draw(state, 0)
    barcode, umi = reads.barcode[k], reads.umi[k]
    at = _copy(out, at, _BARCODE_TAGS)
    for j in range(16):
        base = texts.barcodes[barcode, j] if barcode >= 0 else _ACGT[_draw(state, 20 + j) & np.uint64(3)]
        out[at - 37 + j] = base
    if r & np.uint64(0xFFFF) < _WRONG_BARCODE:
        _mistake(out, at - 37, 16, state, 1)
    _qualities(out, at - 17, 16, state, 40)
    if barcode >= 0:
        at = _copy(out, at, _CELL_TAG)
        for j in range(16):
            out[at - 19 + j] = texts.barcodes[barcode, j]
    at = _copy(out, at, _UMI_TAGS)
    _umi(out, at - 29, umi)
    if (r >> np.uint64(16)) & np.uint64(0xFFFF) < _WRONG_UMI:
        _mistake(out, at - 29, 12, state, 2)
    _qualities(out, at - 13, 12, state, 60)
    if barcode >= 0 and (r >> np.uint64(32)) & np.uint64(0xFFFF) >= _NO_UMI:
        at = _copy(out, at, _MOLECULE_TAG)
        _umi(out, at - 13, umi)
    begin = at
    at = _copy(out, at, _LAST_TAGS)
    out[begin + 3] = (25 if reads.counted[k] else 17) if confident else 0
    return at
