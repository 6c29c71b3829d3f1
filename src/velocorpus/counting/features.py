"""Transcript models as the features that reads are held against: exons and the introns between them.

velocyto's conventions, kept because counts must equal its own: chromosome names are folded (see `chromosomes`),
transcripts with an intron over 1 Mb lose everything upstream of the last such intron, and the neighbours of an intron
are found through the GTF's exon numbers.
"""

from dataclasses import dataclass

import numba
import numpy as np

from velocorpus.counting.chromosomes import fold_gtf_name
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


def build_features(models: TranscriptModels) -> Features:
    """Exons and introns of every transcript with a strand, sorted into bins by group."""
    chromosomes: dict[str, int] = {}
    columns: list[tuple[int, int, bool, int, int, int, int]] = []
    for t in range(len(models.transcript_ids)):
        name = fold_gtf_name(models.chromosomes[models.chromosome[t]])
        c = chromosomes.setdefault(name, len(chromosomes))
        if models.strand[t] == NO_STRAND:
            continue
        minus = bool(models.strand[t] == MINUS)
        inside = slice(models.exon_offset[t], models.exon_offset[t + 1])
        starts, ends = models.exon_start[inside].tolist(), models.exon_end[inside].tolist()
        numbers = models.exon_number[inside].tolist()
        starts, ends, numbers = _without_far_upstream(starts, ends, numbers, minus)
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            columns.append((start, end, False, NOWHERE, NOWHERE, t, 2 * c + minus))
            if i + 1 < len(starts):
                before, after = _neighbours(numbers[i], len(starts), minus)
                columns.append(
                    (
                        end + 1,
                        starts[i + 1] - 1,
                        True,
                        NOWHERE if before is None else ends[before],
                        NOWHERE if after is None else starts[after],
                        t,
                        2 * c + minus,
                    )
                )
    table = np.array(columns, dtype=np.int64).reshape(-1, 7)
    first, last, group = table[:, 0], table[:, 1], table[:, 6]
    n_groups = 2 * len(chromosomes)
    reach = np.zeros(n_groups, dtype=np.int64)
    np.maximum.at(reach, group, np.maximum(first, last))
    first_bin = np.concatenate([[0], np.cumsum((reach >> BIN_BITS) + 1)]).astype(np.int64)
    low, high = np.minimum(first, last) >> BIN_BITS, np.maximum(first, last) >> BIN_BITS
    bin_offset, in_bin = _fill_bins(first_bin[group] + low, first_bin[group] + high, int(first_bin[-1]))
    return Features(
        chromosomes=chromosomes,
        start=first.astype(np.int32),
        end=last.astype(np.int32),
        is_intron=table[:, 2].astype(bool),
        exon_before=table[:, 3].astype(np.int32),
        exon_after=table[:, 4].astype(np.int32),
        transcript=table[:, 5].astype(np.int32),
        gene=models.gene,
        first_bin=first_bin,
        bin_offset=bin_offset,
        in_bin=in_bin,
    )


def _without_far_upstream(
    starts: list[int], ends: list[int], numbers: list[int], minus: bool
) -> tuple[list[int], list[int], list[int]]:
    """Cut a transcript at an intron over 1 Mb, lest it hide the genes inside; the downstream part is renumbered."""
    long = [i for i in range(len(starts) - 1) if starts[i + 1] - ends[i] - 1 > LONGEST_INTRON]
    if not long:
        return starts, ends, numbers
    kept = slice(0, long[0] + 1) if minus else slice(long[-1] + 1, None)
    along = list(range(1, len(starts[kept]) + 1))
    return starts[kept], ends[kept], along[::-1] if minus else along


def _neighbours(number: int, n_exons: int, minus: bool) -> tuple[int | None, int | None]:
    """Indices of the exons that velocyto takes for the neighbours of the intron after an exon of this number.

    It finds them by number, not by place, which differs only where a GTF numbers its exons oddly; negative indices
    count from the end, and where it would stop with an IndexError there is no neighbour.
    """
    if minus:
        intron = number - 1
        before, after = 2 * n_exons - 2 * intron - 2, 2 * n_exons - 2 * intron
    else:
        before, after = 2 * number - 2, 2 * number
    return _exon_index(before, n_exons), _exon_index(after, n_exons)


def _exon_index(index: int, n_exons: int) -> int | None:
    n_features = 2 * n_exons - 1
    if not -n_features <= index < n_features:
        return None
    index %= n_features
    return index // 2 if index % 2 == 0 else None


@numba.njit(cache=True)
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
