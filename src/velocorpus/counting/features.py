"""Transcript models as the features that reads are held against: exons and the introns between them.

velocyto's conventions, kept because counts must equal its own: chromosome names are folded (see `chromosomes`),
transcripts with an intron over 1 Mb lose everything upstream of the last such intron, and the neighbours of an intron
are found through the GTF's exon numbers.
"""

from dataclasses import dataclass

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.chromosomes import fold_gtf_name, number_chromosomes
from velocorpus.counting.corrections import CHROMOSOME_NAMES, LONG_INTRON, TOUCHING_EXONS
from velocorpus.reference.gtf import MINUS, NO_STRAND, TranscriptModels

LONGEST_INTRON = 1_000_000
BIN_BITS = 10  # features are looked up through bins of 1,024 bases
NOWHERE = -(2**30)  # a neighbour that does not exist: no segment spans it


@dataclass(frozen=True, eq=False)
class Features:
    """Exons and introns of all transcripts, and where to find them.

    Feature `f` is `start[f]..end[f]` (1-based, included; an intron between touching exons has end = start - 1) of
    transcript `transcript[f]`. For an intron `exon_before[f]` is the last base of the exon before it and
    `exon_after[f]` the first base of the one after it. A group is a chromosome (folded name) and a strand: group
    2c is chromosome c's plus strand, 2c + 1 its minus strand. The features of bin b of group g are
    `in_bin[bin_offset[first_bin[g] + b]:bin_offset[first_bin[g] + b + 1]]`.
    """

    chromosomes: dict[str, int]  # folded name → c
    start: np.ndarray  # int32
    end: np.ndarray  # int32
    is_intron: np.ndarray  # bool
    exon_before: np.ndarray  # int32
    exon_after: np.ndarray  # int32
    transcript: np.ndarray  # int32
    gene: np.ndarray  # int32, one a transcript
    first_bin: np.ndarray  # int64, groups + 1
    bin_offset: np.ndarray  # int64, bins + 1
    in_bin: np.ndarray  # int32


def build_features(models: TranscriptModels, correct: frozenset[str] = frozenset()) -> Features:
    """Exons and introns of every transcript with a strand, sorted into bins by group.

    Of the `corrections` in `correct` those of names, long introns and touching exons are made here.
    """
    chromosomes = number_chromosomes(models.chromosomes, exact_names=CHROMOSOME_NAMES in correct)
    start, end, is_intron, before, after, transcript = _features(
        models.strand, models.exon_offset, models.exon_start, models.exon_end, models.exon_number,
        LONG_INTRON not in correct, TOUCHING_EXONS not in correct,
    )  # fmt: skip
    folded = models.chromosomes if CHROMOSOME_NAMES in correct else [fold_gtf_name(name) for name in models.chromosomes]
    group = 2 * np.array([chromosomes[name] for name in folded])[models.chromosome] + (models.strand == MINUS)
    group = group[transcript]
    low, high = np.minimum(start, end) >> BIN_BITS, np.maximum(start, end) >> BIN_BITS
    last_bin = np.zeros(2 * len(chromosomes), dtype=np.int64)
    np.maximum.at(last_bin, group, high)
    first_bin = np.concatenate([[0], np.cumsum(last_bin + 1)])
    bin_offset, in_bin = _fill_bins(first_bin[group] + low, first_bin[group] + high, int(first_bin[-1]))
    return Features(
        chromosomes=chromosomes,
        start=start,
        end=end,
        is_intron=is_intron,
        exon_before=before,
        exon_after=after,
        transcript=transcript,
        gene=models.gene,
        first_bin=first_bin,
        bin_offset=bin_offset,
        in_bin=in_bin,
    )


@compiled
def _features(strand, exon_offset, exon_start, exon_end, exon_number, cut_long, keep_empty):  # type: ignore[no-untyped-def]
    """The columns of `Features`, transcript by transcript, each exon before the intron that follows it."""
    size = 2 * exon_start.size
    start, end, before, after, transcript = (
        np.empty(size, np.int32), np.empty(size, np.int32), np.full(size, NOWHERE, np.int32),
        np.full(size, NOWHERE, np.int32), np.empty(size, np.int32),
    )  # fmt: skip
    is_intron = np.zeros(size, np.bool_)
    f = 0
    for t in range(strand.size):
        if strand[t] == NO_STRAND:
            continue
        minus = strand[t] == MINUS
        low, high = exon_offset[t], exon_offset[t + 1]
        was_cut = False
        # Cut at an intron over 1 Mb, lest it hide the genes inside; the downstream part is numbered anew.
        for i in range(low, high - 1):
            if cut_long and exon_start[i + 1] - exon_end[i] - 1 > LONGEST_INTRON:
                was_cut = True
                if minus:
                    high = i + 1
                    break
                low = i + 1
        n_exons = high - low
        for i in range(low, high):
            start[f], end[f], transcript[f] = exon_start[i], exon_end[i], t
            f += 1
            if i + 1 == high or (not keep_empty and exon_start[i + 1] <= exon_end[i] + 1):
                continue
            start[f], end[f], transcript[f], is_intron[f] = exon_end[i] + 1, exon_start[i + 1] - 1, t, True
            number = np.int64(exon_number[i])
            if was_cut:
                number = high - i if minus else i - low + 1
            # velocyto finds the exons beside an intron by number, not by place, as indices among the transcript's
            # exons and introns, which differs only where a GTF numbers its exons oddly: negative ones count from the
            # end, and where it would stop with an IndexError, or finds an intron, there is no neighbour.
            index = 2 * (n_exons - number) if minus else 2 * number - 2
            n_features = 2 * n_exons - 1
            for beside in (index, index + 2):
                if -n_features <= beside < n_features and beside % n_features % 2 == 0:
                    exon = low + beside % n_features // 2
                    if beside == index:
                        before[f] = exon_end[exon]
                    else:
                        after[f] = exon_start[exon]
            f += 1
    return start[:f], end[:f], is_intron[:f], before[:f], after[:f], transcript[:f]


@compiled
def _fill_bins(low: np.ndarray, high: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    offset = np.zeros(n_bins + 1, dtype=np.int64)
    for f in range(low.size):
        for b in range(low[f], high[f] + 1):
            offset[b + 1] += 1
    for b in range(n_bins):
        offset[b + 1] += offset[b]
    place = offset[:-1].copy()
    in_bin = np.empty(offset[-1], dtype=np.int32)
    for f in range(low.size):
        for b in range(low[f], high[f] + 1):
            in_bin[place[b]] = f
            place[b] += 1
    return offset, in_bin
