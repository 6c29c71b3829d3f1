"""Reads against features: which transcripts each read agrees with, and which introns it validates.

A segment touches a feature that it enters by more than `FLANK` bases. A read's transcripts are those that its segments
touch in the most features; of a spliced read, only those of whose features every touched one begins or ends within
`SPLICE_SLACK` bases of its segment.
"""

from typing import NamedTuple

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.accounting import (
    AGAINST_SPLICING,
    LONG_SPAN,
    MASKED,
    MATCHED,
    NO_ANNOTATION,
    OUTSIDE_FEATURES,
    UNALIGNED,
)
from velocorpus.counting.alignments.reads import ReadBatch
from velocorpus.counting.alignments.segments import cut_segments
from velocorpus.counting.classes import intern_class
from velocorpus.counting.features import BIN_BITS, Features
from velocorpus.counting.mask import Mask, masked

FLANK = 5  # bases by which a segment must reach into a feature, or across a boundary
SPLICE_SLACK = 6  # bases by which a spliced segment may miss the end of its feature
LONGEST_SPAN = 3_000_000


class Matched(NamedTuple):
    """The matched reads of a batch: cell (int32), UMI (int64) and class, numbered within the batch (int32).

    Class c is `arena[class_offset[c]:class_offset[c + 1]]`; see `classes`.
    """

    cell: np.ndarray
    umi: np.ndarray
    class_: np.ndarray
    class_offset: np.ndarray  # int64
    arena: np.ndarray  # int32


class Matcher:
    """Matches batches of reads, from several threads at once, and marks in `validated` the introns they validate."""

    def __init__(
        self,
        features: Features,
        chromosome_of: np.ndarray,
        mask: Mask,
        *,
        shift_by_clip: bool = True,
        longest_span: int | None = LONGEST_SPAN,
    ) -> None:
        """`chromosome_of` is int32, one a chromosome of the BAM: its number in `features`, or -1."""
        f = features
        self.validated = np.zeros(f.start.size, dtype=np.bool_)
        self._constant = (
            chromosome_of,
            (f.start, f.end, f.first_bin, f.bin_offset, f.in_bin),
            (f.is_intron, f.exon_before, f.exon_after, f.transcript),
            f.gene.size,
            mask.arrays,
            shift_by_clip,
            2**62 if longest_span is None else longest_span,
            self.validated,
        )

    def match(self, batch: ReadBatch) -> Matched:
        """Match a batch, and count in its `outcomes` what became of its reads."""
        reads = (batch.chromosome, batch.position, batch.minus, batch.cigar_at, batch.n_operations, batch.bytes)
        matched, class_, offset, arena = _match(reads, *self._constant, batch.outcomes)
        return Matched(batch.cell[matched], batch.umi[matched], class_, offset, arena)


@compiled
def _crosses(a, b, boundary):  # type: ignore[no-untyped-def]
    """Whether a segment a..b reaches across a base, with a flank on both sides."""
    return a + FLANK < boundary and b - FLANK > boundary


@compiled
def _spans_boundary(a, b, start, end, before, after):  # type: ignore[no-untyped-def]
    """Whether a segment a..b lies across an intron's boundary and its neighbouring exon's."""
    downstream = _crosses(a, b, end) and _crosses(a, b, after)
    upstream = _crosses(a, b, start) and _crosses(a, b, before)
    return downstream or upstream


@compiled
def _hits(a, b, group, where, found, n):  # type: ignore[no-untyped-def]
    """Append the features that a segment a..b touches to `found[:n]` (grown when full); return it and the new n."""
    start, end, first_bin, bin_offset, in_bin = where
    if b - a <= FLANK:
        return found, n
    n_bins = first_bin[group + 1] - first_bin[group]
    low = max(a, 0) >> BIN_BITS
    for k in range(low, min(b >> BIN_BITS, n_bins - 1) + 1):
        for i in range(bin_offset[first_bin[group] + k], bin_offset[first_bin[group] + k + 1]):
            f = in_bin[i]
            if b - FLANK > start[f] and a + FLANK < end[f]:
                # A feature in several of the segment's bins is taken in the first of them.
                if k > low and max(min(start[f], end[f]) >> BIN_BITS, low) != k:
                    continue
                if n == found.size:
                    found = np.concatenate((found, np.empty_like(found)))
                found[n] = f
                n += 1
    return found, n


@compiled
def _match(  # type: ignore[no-untyped-def]
    reads, chromosome_of, where, what, n_transcripts, mask, shift_by_clip, longest_span, validated, outcomes
):
    chromosome, position, minus, cigar_at, n_operations, text = reads
    start, end = where[0], where[1]
    is_intron, before, after, transcript = what
    n_reads = position.size
    matched = np.zeros(n_reads, dtype=np.bool_)
    class_ = np.empty(n_reads, dtype=np.int32)
    slots = np.full(max(16, 1 << int(np.ceil(np.log2(2 * n_reads + 1)))), -1, dtype=np.int32)
    offset = np.zeros(n_reads + 1, dtype=np.int64)
    arena = np.empty(4096, dtype=np.int32)
    entries = np.empty(256, dtype=np.int32)
    found = np.empty(256, dtype=np.int32)
    first, last = np.empty(16, dtype=np.int64), np.empty(16, dtype=np.int64)
    hit_end = np.empty(16, dtype=np.int64)
    # One place a transcript, left as found.
    n_hits = np.zeros(n_transcripts, dtype=np.int32)
    n_classes = n_matched = 0
    for r in range(n_reads):
        if n_operations[r] > first.size:
            first, last = np.empty(n_operations[r], dtype=np.int64), np.empty(n_operations[r], dtype=np.int64)
            hit_end = np.empty(n_operations[r], dtype=np.int64)
        n_segments, spliced = cut_segments(text, cigar_at[r], n_operations[r], position[r], shift_by_clip, first, last)
        if n_segments == 0:
            outcomes[UNALIGNED] += 1
            continue
        if last[n_segments - 1] - first[0] + 1 > longest_span:
            outcomes[LONG_SPAN] += 1
            continue
        if chromosome_of[chromosome[r]] < 0:
            outcomes[NO_ANNOTATION] += 1
            continue
        group = 2 * np.int64(chromosome_of[chromosome[r]]) + minus[r]
        n = 0
        most = 0
        for s in range(n_segments):
            low = n
            found, n = _hits(first[s], last[s], group, where, found, n)
            hit_end[s] = n
            for i in range(low, n):
                f = found[i]
                n_hits[transcript[f]] += 1
                most = max(most, n_hits[transcript[f]])
                if is_intron[f] and not spliced and not validated[f]:
                    validated[f] = _spans_boundary(first[s], last[s], start[f], end[f], before[f], after[f])
        if masked(group, 0, first, last, 0, n_segments, mask):
            outcomes[MASKED] += 1
            for i in range(n):
                n_hits[transcript[found[i]]] = 0
            continue
        if n == 0:
            outcomes[OUTSIDE_FEATURES] += 1
            continue
        if spliced:
            s = 0
            for i in range(n):
                while i >= hit_end[s]:
                    s += 1
                f = found[i]
                if abs(start[f] - first[s]) > SPLICE_SLACK and abs(end[f] - last[s]) > SPLICE_SLACK:
                    n_hits[transcript[f]] = -1
        if entries.size < n + 1:
            entries = np.empty(2 * n + 1, dtype=np.int32)
        entries[0] = most
        n_entries = 1
        s = 0
        for i in range(n):
            while i >= hit_end[s]:
                s += 1
            f = found[i]
            if n_hits[transcript[f]] != most:
                continue
            if is_intron[f]:
                spans = _spans_boundary(first[s], last[s], start[f], end[f], before[f], after[f])
                entry = np.int32(2 * f + spans)
            else:
                entry = np.int32(-transcript[f] - 1)
            # Kept sorted and each once: insertion, since there are few and they come nearly in order.
            j = n_entries
            while j > 1 and entries[j - 1] > entry:
                j -= 1
            if j > 1 and entries[j - 1] == entry:
                continue
            for k in range(n_entries, j, -1):
                entries[k] = entries[k - 1]
            entries[j] = entry
            n_entries += 1
        for i in range(n):
            n_hits[transcript[found[i]]] = 0
        if n_entries == 1:
            outcomes[AGAINST_SPLICING] += 1
            continue
        if arena.size - offset[n_classes] < n_entries:
            arena = np.concatenate((arena, np.empty(max(arena.size, n_entries), dtype=np.int32)))
        class_[n_matched] = intern_class(entries, 0, n_entries, slots, offset, arena, n_classes)
        n_classes += class_[n_matched] == n_classes
        n_matched += 1
        matched[r] = True
        outcomes[MATCHED] += 1
    return matched, class_[:n_matched], offset[: n_classes + 1], arena
