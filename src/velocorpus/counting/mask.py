"""Repeats whose reads are not counted: velocyto's `-m`, with all that it makes of the file.

A read is masked if each of its segments lies in a masked interval of its own strand; `FLANK` bases may stick out at
either end. It is left out of its molecule, but the introns whose boundary it spans are validated by it.

How velocyto 0.17.17 makes intervals of the lines was found by giving it random ones. It sorts them by chromosome,
strand (plus last), start and text, and merges what is at most `TOLERANCE` bases apart; the line that comes last gives
the end, so a repeat inside another cuts it short. What it holds where a chromosome or strand ends it takes along, as
the first interval of the next or swallowed by that one's first; so the last chromosome and strand is lost. The last
interval of each is never looked at. A chromosome and strand that comes again (`chr1` after `1`, `-` after `.`) replaces
what there was. `whole` undoes all of this.
"""

import array
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.chromosomes import match_names
from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.reference.gtf import interval

TOLERANCE = 5  # bases between intervals that are merged
FLANK = 5  # bases of a segment that may stick out of its interval; shorter segments are never masked


@dataclass(frozen=True, eq=False)
class Mask:
    """Intervals by group (see `Features`): those of group g are `offset[g]:offset[g + 1]`, ascending, ends included."""

    offset: np.ndarray  # int64, groups + 1
    start: np.ndarray  # int32, 1-based
    end: np.ndarray  # int32
    notes: tuple[str, ...] = ()

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `masked` takes."""
        return self.offset, self.start, self.end

    def digest(self) -> str:
        """SHA-256 of what is masked, however the file says it."""
        return hashlib.sha256(b"".join(a.astype("<i8").tobytes() for a in self.arrays)).hexdigest()


def no_mask(n_groups: int) -> Mask:
    """A mask of nothing."""
    return Mask(np.zeros(n_groups + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))


def read_mask(
    path: Path | str, chromosomes: Mapping[str, int], *, exact_names: bool = False, whole: bool = False
) -> Mask:
    """Read a GTF of repeats, plain or gzip, whatever its lines call themselves; `chromosomes` are those of `Features`.

    With `whole` the mask is what the file says: every interval, merged with those at most `TOLERANCE` bases away on its
    chromosome and strand; one without a strand masks both. Refused: a file without intervals, or with none on a
    chromosome of the GTF; a line without nine columns; a place that is not 1 ≤ start ≤ end.
    """
    names, strands, chromosome, strand, start, end = _sorted_lines(path)
    folded = [name[3:] if name[:3].lower() == "chr" else name for name in names]
    place = np.array(
        match_names(names, chromosomes) if exact_names else [chromosomes.get(name, -1) for name in folded], np.int64
    )
    if place.max() < 0:
        raise UserMistake(
            f"{path}: none of its chromosomes ({', '.join(names[:3])}, ...) is in the GTF"
            f" ({', '.join(list(chromosomes)[:3])}, ...); give the repeats of the same genome."
        )
    known, sign = place[chromosome] >= 0, np.array([{"+": 0, "-": 1}.get(s, -1) for s in strands])[strand]
    group = 2 * place[chromosome] + sign
    if whole:
        each = np.concatenate([np.flatnonzero(known & (sign == s)) for s in (0, 1, -1, -1)])
        n_unstranded = int((known & (sign < 0)).sum())
        group = group[each] + np.repeat([0, 1, 2], [each.size - 2 * n_unstranded, n_unstranded, n_unstranded])
        order = np.lexsort((start[each], group))
        run, start, end = _merge(group[order], start[each][order], end[each][order], True)
        group = np.unique(group)[run]
    else:
        # Chromosomes are one to velocyto if their folded names are, whether the GTF has them or not.
        label = {p if p >= 0 else name: i for i, (p, name) in enumerate(zip(place.tolist(), folded, strict=True))}
        number = np.array([label[p if p >= 0 else name] for p, name in zip(place.tolist(), folded, strict=True)])
        key = number[chromosome] * len(strands) + strand
        run, start, end = _merge(key, start, end, False)
        first = np.flatnonzero(np.diff(key, prepend=-1))
        last_run = {k: i for i, k in enumerate(key[first][:-1].tolist())}  # what comes last of all is lost
        counts = np.array([last_run.get(k) == i for i, k in enumerate(key[first].tolist())])
        group = np.where(counts & known[first] & (sign[first] >= 0), group[first], -1)[run]
        group, start, end = _as_looked_at(group, start, end)
    n_off = int((~known).sum())
    notes = (
        [f"{n_off} of the {known.size} intervals to mask are on chromosomes that the GTF does not have"]
        if n_off
        else []
    )
    offset = np.searchsorted(group, np.arange(2 * (max(chromosomes.values()) + 1) + 1))
    return Mask(offset.astype(np.int64), start.astype(np.int32), end.astype(np.int32), tuple(notes))


def _sorted_lines(path: Path | str) -> tuple[list[str], list[str], np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Chromosomes and strands by name, and of each line their numbers, start and end, in velocyto's order."""
    # Chromosome, source and kind, score, strand: few different texts, of which each line keeps the numbers.
    texts: tuple[dict[str, int], ...] = ({}, {}, {}, {})
    flat = array.array("q")
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.split("\t")
            if len(fields) != 9:
                raise UserMistake(f"{path}, line {number}, has {len(fields)} columns, a GTF has 9; is it a GTF?")
            start, end = interval(fields[3], fields[4], path, number, "a repeat")
            words = (fields[0], f"{fields[1]}\t{fields[2]}", fields[5], fields[6])
            flat.extend(known.setdefault(word, len(known)) for known, word in zip(texts, words, strict=True))
            flat.extend((start, end))
    if not flat:
        raise UserMistake(f"{path} has no intervals to mask; give a GTF of repeats.")
    chromosome, kind, score, strand, starts, ends = np.array(flat).reshape(-1, 6).T
    rank = [np.argsort(np.argsort(np.array(list(known), dtype=object))) for known in texts]
    # Ends of one start and kind are compared as text: 1000 comes before 999.
    n_digits = np.char.str_len(np.unique(ends).astype(str))[np.searchsorted(np.unique(ends), ends)]
    by_text = (rank[3][strand], rank[2][score], n_digits, ends * 10 ** (10 - n_digits), rank[1][kind])
    plus = np.array([name == "+" for name in texts[3]])[strand]
    order = np.lexsort((*by_text, starts, plus, rank[0][chromosome]))
    return list(texts[0]), list(texts[3]), chromosome[order], strand[order], starts[order], ends[order]


@compiled
def _merge(key, start, end, whole):  # type: ignore[no-untyped-def]
    """Merge sorted intervals; return the run of equal keys in which each was put away, its start and its end."""
    run_of, first, last = np.empty(key.size, np.int64), np.empty(key.size, np.int64), np.empty(key.size, np.int64)
    n = run = 0
    a, b = start[0], end[0]
    for i in range(1, key.size):
        new = key[i] != key[i - 1]
        run += new and not whole
        if start[i] > b + TOLERANCE or (new and whole):
            run_of[n], first[n], last[n] = run, a, b
            n += 1
            a, b = start[i], end[i]
        else:
            b = max(b, end[i]) if whole else end[i]
        run += new and whole
    if whole:
        run_of[n], first[n], last[n] = run, a, b
        n += 1
    return run_of[:n], first[:n], last[:n]


def _as_looked_at(group: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sort intervals, and leave of them what velocyto looks at; those of group -1 go."""
    order = np.lexsort((start, group))
    group, start, end = group[order], start[order], end[order]
    looked_at = np.append(group[1:] == group[:-1], False)[: group.size] & (group >= 0)
    group, start, end = group[looked_at], start[looked_at], end[looked_at]
    # An interval that was taken along may end before it starts. It holds no read (unless it is tiny), but a read
    # across its start is not masked by the interval around that start: as if that one was two.
    for i in np.flatnonzero(end < start):
        if i and group[i] == group[i - 1] and start[i] < end[i - 1]:
            end[i], end[i - 1] = end[i - 1], start[i]
    kept = end > start - FLANK
    return group[kept], start[kept], end[kept]


@compiled
def masked(group, position, segment_first, segment_last, low, high, mask):  # type: ignore[no-untyped-def]
    """Whether each segment `position + segment_first[s] .. position + segment_last[s]`, low ≤ s < high, is masked.

    `group` is the read's (≥ 0), `mask` the `Mask.arrays`; places are 1-based, ends included.
    """
    offset, start, end = mask
    if offset[group] == offset[group + 1]:
        return False
    for s in range(low, high):
        a, b = position + segment_first[s], position + segment_last[s]
        # Intervals lie apart, so only the last that begins before the segment's flank can hold it.
        left, right = offset[group], offset[group + 1]
        while left < right:
            middle = (left + right) // 2
            if start[middle] <= a + FLANK:
                left = middle + 1
            else:
                right = middle
        if left == offset[group] or b - a <= FLANK or b - FLANK > end[left - 1]:
            return False
    return high > low
