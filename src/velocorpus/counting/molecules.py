"""Reads to molecules to counts, compiled: intron validation, matching, intersection, decision.

Two passes over the arrays of `Alignments`. The first marks the introns whose boundary with a neighbouring exon an
unspliced read spans. The second takes the reads of each molecule (cell and UMI, over the whole BAM), finds the
transcripts that each read agrees with, keeps those that all of them agree with, and looks the decision up.
"""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from velocorpus.counting.alignments import Alignments
from velocorpus.counting.features import BIN_BITS, Features

FLANK = 5  # bases by which a segment must reach into a feature, or across a boundary
SPLICE_SLACK = 6  # bases by which a spliced segment may miss the end of its feature

# Outcome of a molecule; 1, 2, 3 are rules.SPLICED, UNSPLICED, AMBIGUOUS.
DISCARDED_BY_LOGIC, NO_MATCH, NO_COMMON_TRANSCRIPT, SEVERAL_GENES = 0, 4, 5, 6
# Outcome of a read.
OUTSIDE_FEATURES, AGAINST_SPLICING, MATCHED = 0, 1, 2

# What a transcript's matches are, as bits.
_EXON, _INTRON, _VALIDATED, _SPAN = 1, 2, 4, 8


@dataclass(frozen=True, eq=False)
class Molecules:
    """One row a molecule that has a usable read, ordered by cell and UMI; `read_outcome` is in the order of reads."""

    cell: np.ndarray  # int32
    gene: np.ndarray  # int32, -1 where no one gene is left
    outcome: np.ndarray  # uint8
    n_reads: np.ndarray  # int64
    read_outcome: np.ndarray  # uint8, one a read
    validated: np.ndarray  # bool, one a feature


def count_molecules(reads: Alignments, features: Features, decisions: np.ndarray, *, threads: int = 1) -> Molecules:
    """Decide every molecule of `reads`; `decisions` is `rules.decision_table` of a logic.

    `threads` share the molecules out; the result does not depend on their number.
    """
    f, r = features, reads
    where = (f.start, f.end, f.first_bin, f.bin_offset, f.in_bin)
    what = (f.is_intron, f.exon_before, f.exon_after)
    which = (r.group, r.position, r.cigar)
    cut = (r.segment_offset, r.segment_first, r.segment_last, r.spliced)
    validated = np.zeros(f.start.size, dtype=np.bool_)
    _validate(which, cut, where, what, validated)

    order = np.lexsort((r.umi, r.cell))
    cell, umi = r.cell[order], r.umi[order]
    new = np.ones(order.size, dtype=bool)
    new[1:] = (cell[1:] != cell[:-1]) | (umi[1:] != umi[:-1])
    first = np.flatnonzero(new)
    edge = np.append(first, order.size)
    gene = np.full(first.size, -1, dtype=np.int32)
    outcome = np.zeros(first.size, dtype=np.uint8)
    read_outcome = np.zeros(order.size, dtype=np.uint8)

    def decide(bounds: tuple[int, int]) -> None:
        _decide(
            bounds[0], bounds[1], order, edge, which, cut, where, what, validated, f.transcript, f.gene, decisions,
            gene, outcome, read_outcome,
        )  # fmt: skip

    parts = np.linspace(0, first.size, max(1, threads) + 1).astype(int).tolist()
    with ThreadPoolExecutor(max(1, threads)) as pool:
        list(pool.map(decide, itertools.pairwise(parts)))
    return Molecules(cell[first], gene, outcome, np.diff(edge), read_outcome, validated)


@numba.njit(nogil=True, cache=True, inline="always")
def _spans_start(a: int, b: int, boundary: int) -> bool:
    """Whether a segment a..b reaches across the first base of something, with a flank on both sides."""
    return a + FLANK < boundary and b - FLANK > boundary


@numba.njit(nogil=True, cache=True)
def _spans_boundary(a: int, b: int, start: int, end: int, before: int, after: int) -> bool:
    """Whether a segment a..b lies across an intron's boundary and its neighbouring exon's."""
    downstream = _spans_start(a, b, end) and _spans_start(a, b, after)
    upstream = _spans_start(a, b, start) and _spans_start(a, b, before)
    return downstream or upstream


@numba.njit(nogil=True, cache=True)
def _hits(a, b, group, where, found):  # type: ignore[no-untyped-def]
    """Write the features that a segment a..b touches to `found` (grown when full); return it and their number."""
    start, end, first_bin, bin_offset, in_bin = where
    n = 0
    if b - a <= FLANK:
        return found, n
    n_bins = first_bin[group + 1] - first_bin[group]
    low = max(a, 0) >> BIN_BITS
    for k in range(low, min(b >> BIN_BITS, n_bins - 1) + 1):
        for i in range(bin_offset[first_bin[group] + k], bin_offset[first_bin[group] + k + 1]):
            f = in_bin[i]
            # A feature in several of the segment's bins is taken in the first of them.
            if max(min(start[f], end[f]) >> BIN_BITS, low) != k:
                continue
            if b - FLANK > start[f] and a + FLANK < end[f]:
                if n == found.size:
                    found = np.concatenate((found, np.empty_like(found)))
                found[n] = f
                n += 1
    return found, n


@numba.njit(nogil=True, cache=True)
def _validate(which, cut, where, what, validated):  # type: ignore[no-untyped-def]
    group, position, cigar = which
    segment_offset, segment_first, segment_last, spliced = cut
    start, end = where[0], where[1]
    is_intron, before, after = what
    found = np.empty(256, dtype=np.int32)
    for r in range(position.size):
        c = cigar[r]
        if spliced[c]:
            continue
        for s in range(segment_offset[c], segment_offset[c + 1]):
            a, b = position[r] + segment_first[s], position[r] + segment_last[s]
            found, n = _hits(a, b, group[r], where, found)
            for i in range(n):
                f = found[i]
                if is_intron[f] and _spans_boundary(a, b, start[f], end[f], before[f], after[f]):
                    validated[f] = True


@numba.njit(nogil=True, cache=True)
def _decide(  # type: ignore[no-untyped-def]
    low, high, order, edge, which, cut, where, what, validated, transcript, gene_of, decisions,
    gene, outcome, read_outcome,
):  # fmt: skip
    """Decide molecules low..high. Scratch arrays have one place a transcript and are left as found."""
    group, position, cigar = which
    segment_offset, segment_first, segment_last, spliced = cut
    start, end = where[0], where[1]
    is_intron, before, after = what
    n_transcripts = gene_of.size
    found = np.empty(256, dtype=np.int32)
    n_hits = np.zeros(n_transcripts, dtype=np.int32)
    bits = np.zeros(n_transcripts, dtype=np.uint8)
    misfit = np.zeros(n_transcripts, dtype=np.bool_)
    touched = np.empty(n_transcripts, dtype=np.int32)
    common = np.empty(n_transcripts, dtype=np.int32)
    common_bits = np.zeros(n_transcripts, dtype=np.uint8)
    for m in range(low, high):
        n_common = -1  # no read has matched yet
        n_matches = 0
        for j in range(edge[m], edge[m + 1]):
            r = order[j]
            c = cigar[r]
            n_touched = 0
            most = 0
            for s in range(segment_offset[c], segment_offset[c + 1]):
                a, b = position[r] + segment_first[s], position[r] + segment_last[s]
                found, n = _hits(a, b, group[r], where, found)
                for i in range(n):
                    f = found[i]
                    t = transcript[f]
                    if n_hits[t] == 0:
                        touched[n_touched] = t
                        n_touched += 1
                    n_hits[t] += 1
                    most = max(most, n_hits[t])
                    if is_intron[f]:
                        bits[t] |= _INTRON
                        if validated[f]:
                            bits[t] |= _VALIDATED
                            if _spans_boundary(a, b, start[f], end[f], before[f], after[f]):
                                bits[t] |= _SPAN
                    else:
                        bits[t] |= _EXON
                    if spliced[c] and abs(start[f] - a) > SPLICE_SLACK and abs(end[f] - b) > SPLICE_SLACK:
                        misfit[t] = True
            # A transcript stays if no other explains more of the read, and if the read's splices fit it.
            n_kept = 0
            for i in range(n_touched):
                t = touched[i]
                if n_hits[t] == most and not misfit[t]:
                    n_kept += 1
                else:
                    bits[t] = 0
                n_hits[t] = 0
                misfit[t] = False
            read_outcome[r] = MATCHED if n_kept else (AGAINST_SPLICING if n_touched else OUTSIDE_FEATURES)
            if n_kept:
                n_matches += most
                if n_common < 0:
                    n_common = 0
                    for i in range(n_touched):
                        if bits[touched[i]]:
                            common[n_common] = touched[i]
                            common_bits[touched[i]] = bits[touched[i]]
                            n_common += 1
                else:
                    n_left = 0
                    for i in range(n_common):
                        t = common[i]
                        if bits[t]:
                            common_bits[t] |= bits[t]
                            common[n_left] = t
                            n_left += 1
                    n_common = n_left
            for i in range(n_touched):
                bits[touched[i]] = 0
        if n_common < 0:
            outcome[m] = NO_MATCH
            continue
        if n_common == 0:
            outcome[m] = NO_COMMON_TRANSCRIPT
            continue
        evidence = 32 | (64 if n_matches == 1 else 0)
        one_gene = True
        for i in range(n_common):
            t = common[i]
            x = common_bits[t]
            one_gene &= gene_of[t] == gene_of[common[0]]
            if x & _SPAN == 0:
                evidence &= ~32
            if x & _INTRON == 0:
                evidence |= 1
            elif x & _EXON == 0:
                evidence |= 2 | (4 if x & _VALIDATED else 0)
            elif x & _SPAN == 0:
                evidence |= 8 if x & _VALIDATED else 16
        if one_gene:
            gene[m] = gene_of[common[0]]
            outcome[m] = decisions[evidence]
        else:
            outcome[m] = SEVERAL_GENES
