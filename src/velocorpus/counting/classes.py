"""Classes of reads: all reads that touch the same features tell the same story, which is kept once.

A class is a short sorted list of int32. Its first entry is the number of segments that match in its best
transcripts. Of those transcripts it holds an exon match as -(transcript + 1), and an intron match as 2 × feature, plus
1 when a segment lies across the intron's boundary: whether an intron is validated is known only when the whole BAM has
been read, so the decision waits. A BAM of a billion reads has about as many classes as one of ten million: memory
follows the annotation, not the reads.
"""

from typing import NamedTuple

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.accounting import ACROSS, BOTH, EXONS, INTRONS
from velocorpus.counting.features import Features
from velocorpus.counting.rules import (
    ALL_SPAN,
    EXONS_ONLY,
    INTRONS_ONLY,
    INTRONS_ONLY_VALIDATED,
    MIXED_UNVALIDATED,
    MIXED_VALIDATED,
)

# What a transcript's matches are, as bits.
EXON, INTRON, VALIDATED, SPAN = 1, 2, 4, 8
_FREE = -1


@compiled
def intern_class(entries, first, end, slots, offset, arena, n):  # type: ignore[no-untyped-def]
    """The number of the class `entries[first:end]`, which is `n` when it is new and was added.

    `slots` (int32, a power of two, -1 = free) is the hash table; class c is `arena[offset[c]:offset[c + 1]]`. The
    caller keeps room for one more class.
    """
    mixed = np.uint64(0xCBF29CE484222325)
    for i in range(first, end):
        mixed = (mixed ^ np.uint64(np.uint32(entries[i]))) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    slot = np.int64(mixed & np.uint64(slots.size - 1))
    while slots[slot] != _FREE:
        known = slots[slot]
        if offset[known + 1] - offset[known] == end - first:
            same = True
            for i in range(end - first):
                if arena[offset[known] + i] != entries[first + i]:
                    same = False
                    break
            if same:
                return known
        slot = (slot + 1) & (slots.size - 1)
    slots[slot] = n
    offset[n + 1] = offset[n] + end - first
    arena[offset[n] : offset[n + 1]] = entries[first:end]
    return n


@compiled
def _intern_all(batch_offset, batch_arena, slots, offset, arena, n, numbers):  # type: ignore[no-untyped-def]
    for c in range(numbers.size):
        numbers[c] = intern_class(batch_arena, batch_offset[c], batch_offset[c + 1], slots, offset, arena, n)
        n += numbers[c] == n
    return n


class Classes:
    """All classes seen so far, numbered in the order of their first batch."""

    def __init__(self) -> None:
        self.n = 0
        self.offset = np.zeros(1 << 10, dtype=np.int64)
        self.arena = np.empty(1 << 12, dtype=np.int32)
        self._slots = np.full(1 << 11, _FREE, dtype=np.int32)

    def add(self, offset: np.ndarray, arena: np.ndarray) -> np.ndarray:
        """The numbers (int32) of a batch's classes, which are `arena[offset[c]:offset[c + 1]]`."""
        numbers = np.empty(offset.size - 1, dtype=np.int32)
        self._make_room(numbers.size, int(offset[-1]))
        self.n = _intern_all(offset, arena, self._slots, self.offset, self.arena, self.n, numbers)
        return numbers

    def _make_room(self, n_more: int, n_entries: int) -> None:
        if (wanted := int(self.offset[self.n]) + n_entries) > self.arena.size:
            self.arena = np.concatenate((self.arena, np.empty(wanted, dtype=np.int32)))
        if (wanted := self.n + n_more + 1) > self.offset.size:
            self.offset = np.concatenate((self.offset, np.empty(wanted, dtype=np.int64)))
        if 2 * (self.n + n_more) > self._slots.size:
            self._slots = np.full(1 << int(4 * (self.n + n_more)).bit_length(), _FREE, dtype=np.int32)
            own = np.empty(self.n, dtype=np.int32)
            offset, arena = np.zeros_like(self.offset), np.empty_like(self.arena)
            _intern_all(self.offset, self.arena, self._slots, offset, arena, 0, own)


class Stories(NamedTuple):
    """What each class says, once the validated introns are known.

    Class c agrees with transcripts `transcript[offset[c]:offset[c + 1]]`, ascending, of which `bits` says what was
    matched. Alone in its molecule it is `evidence[c]`, of gene `gene[c]` (-1: of several). `single[c]`: it is one
    match; `place[c]`: where its reads lie.
    """

    offset: np.ndarray  # int64
    transcript: np.ndarray  # int32
    bits: np.ndarray  # uint8
    evidence: np.ndarray  # uint8, without the bit of a single match
    gene: np.ndarray  # int32
    single: np.ndarray  # bool
    place: np.ndarray  # uint8


def tell_stories(classes: Classes, features: Features, validated: np.ndarray) -> Stories:
    """What every class says; `validated` is bool, one a feature."""
    n = classes.n
    offset = np.zeros(n + 1, dtype=np.int64)
    transcript = np.empty(int(classes.offset[n]), dtype=np.int32)
    bits = np.empty(transcript.size, dtype=np.uint8)
    evidence, place = np.zeros(n, dtype=np.uint8), np.zeros(n, dtype=np.uint8)
    gene, single = np.empty(n, dtype=np.int32), np.empty(n, dtype=np.bool_)
    _tell(
        n, classes.offset, classes.arena, features.transcript, features.gene, validated,
        offset, transcript, bits, evidence, gene, single, place,
    )  # fmt: skip
    return Stories(offset, transcript[: offset[-1]], bits[: offset[-1]], evidence, gene, single, place)


@compiled
def _tell(  # type: ignore[no-untyped-def]
    n, class_offset, arena, transcript_of, gene_of, validated,
    offset, transcript, bits, evidence, gene, single, place,
):  # fmt: skip
    bits_of = np.zeros(gene_of.size, dtype=np.uint8)
    for c in range(n):
        at = offset[c]
        spans = False
        in_exon = in_intron = False
        single[c] = arena[class_offset[c]] == 1
        for i in range(class_offset[c] + 1, class_offset[c + 1]):
            entry = arena[i]
            if entry < 0:
                t, found = -entry - 1, EXON
                in_exon = True
            else:
                f = entry >> 1
                t, found = transcript_of[f], INTRON
                in_intron = True
                spans |= entry & 1 == 1
                if validated[f]:
                    found |= VALIDATED | (SPAN if entry & 1 else 0)
            if bits_of[t] == 0:
                transcript[at] = t
                at += 1
            bits_of[t] |= found
        offset[c + 1] = at
        own = transcript[offset[c] : at]
        own.sort()
        for i in range(offset[c], at):
            bits[i] = bits_of[transcript[i]]
            bits_of[transcript[i]] = 0
        gene[c], evidence[c] = weigh(transcript, bits, offset[c], at, gene_of)
        place[c] = ACROSS if spans else BOTH if in_exon and in_intron else EXONS if in_exon else INTRONS


@compiled
def weigh(transcript, bits, first, end, gene_of):  # type: ignore[no-untyped-def]
    """The one gene of the transcripts first..end (or -1), and what they say together: the bits of `rules.Evidence`."""
    gene = gene_of[transcript[first]]
    evidence = np.uint8(ALL_SPAN)
    for i in range(first, end):
        if gene_of[transcript[i]] != gene:
            gene = np.int32(-1)
        found = bits[i]
        if (found & SPAN) == 0:
            evidence &= ~np.uint8(ALL_SPAN)
        if (found & INTRON) == 0:
            evidence |= np.uint8(EXONS_ONLY)
        elif (found & EXON) == 0:
            evidence |= np.uint8(INTRONS_ONLY)
            if found & VALIDATED:
                evidence |= np.uint8(INTRONS_ONLY_VALIDATED)
        elif (found & SPAN) == 0:
            evidence |= np.uint8(MIXED_VALIDATED if found & VALIDATED else MIXED_UNVALIDATED)
    return gene, evidence
