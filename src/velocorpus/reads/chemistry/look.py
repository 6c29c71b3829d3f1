"""One file's sample of reads with all that is asked of it, and shares with the bounds that decisions rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from velocorpus.reads.chemistry.barcode_lists import BarcodeList, Place, best_place, distinct_listed, listed
from velocorpus.reads.chemistry.kmers import KmerIndex
from velocorpus.reads.chemistry.sampling import NO_BASE, ReadSample, words

# Standard errors of every bound (Wilson's score interval): one decision in some 700 errs by chance alone.
Z = 3.0
# A barcode read has at least this share of listed barcodes. With errors at 5 % of bases 44 % of barcodes of 16 are
# whole; of a list that is not at hand at most 15 % stand on one that is.
FITS = 0.3
MISFIT = 0.15
MIN_DISTINCT = 20
# No one barcode counts for more than this share of the reads: an amplicon may begin with a listed one by chance.
MOST_OF_ONE = 0.02
# A sample whose only reference fewer reads match than this may be of another species: exons agree in part.
OWN_SPECIES = 0.25
MIN_CDNA = 25
MAX_INDEX = 12
# The template switch oligo, with which cDNA reads of short molecules begin.
_TSO = np.array([0, 0, 2, 1, 0, 2, 3, 2, 2, 3, 0, 3], np.uint8)


@dataclass(frozen=True)
class Share:
    """`hits` of `n` with the bounds between which the true share lies."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / max(self.n, 1)

    def _bound(self, sign: int) -> float:
        n, p, z2 = max(self.n, 1), self.value, Z * Z
        return float((p + z2 / (2 * n) + sign * Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n))

    @property
    def low(self) -> float:
        """The lower bound; 0 without observations."""
        return max(self._bound(-1), 0.0) if self.n else 0.0

    @property
    def high(self) -> float:
        """The upper bound; 1 without observations."""
        return min(self._bound(1), 1.0) if self.n else 1.0

    def as_json(self) -> dict[str, Any]:
        """What the evidence says of it."""
        return {"share": round(self.value, 4), "low": round(self.low, 4), "high": round(self.high, 4), "n": self.n}


@dataclass(frozen=True, eq=False)
class Look:
    """One file's sample with all that is asked of it."""

    sample: ReadSample
    lists: Sequence[BarcodeList]
    references: Sequence[KmerIndex]

    @property
    def name(self) -> str:
        """The file's name without its folder."""
        return self.sample.path.name

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where each list's barcodes would stand."""
        return {one.name: best_place(self.sample, one) for one in self.lists}

    @cached_property
    def fits(self) -> dict[str, Share]:
        """The share of reads with a listed barcode at that place, per list; see `MOST_OF_ONE`."""
        return {one.name: capped_share(self.sample, one, self.places[one.name]) for one in self.lists}

    @cached_property
    def best(self) -> BarcodeList | None:
        """The list that fits best, if any fits."""
        fitting = [
            one
            for one in self.lists
            if self.fits[one.name].low >= FITS
            and distinct_listed(self.sample, one, self.places[one.name]) >= MIN_DISTINCT
        ]
        return max(fitting, key=lambda one: self.fits[one.name].value) if fitting else None

    @cached_property
    def strands(self) -> dict[str, tuple[int, int]]:
        """Per reference the reads that match its exons in sense and in antisense; a tie is neither."""
        found = {}
        for reference in self.references:
            hits = reference.strands(self.sample.codes)
            found[reference.name] = (int((hits[:, 0] > hits[:, 1]).sum()), int((hits[:, 1] > hits[:, 0]).sum()))
        return found

    @cached_property
    def dominated(self) -> bool:
        """Whether eight sequences make up half of the reads, as sample indices do."""
        values, whole = words(self.sample.codes, 0, min(self.sample.length, 8))
        counts = np.unique(values[whole], return_counts=True)[1]
        return bool(np.sort(counts)[-8:].sum() >= 0.5 * max(whole.sum(), 1))

    @cached_property
    def poly_t_start(self) -> int | None:
        """The base (from 0) where a tract of T begins in most reads: right after barcode and UMI of a 3' bead."""
        codes = self.sample.codes[:, :60]
        there = np.maximum((codes != NO_BASE).sum(axis=0), 1)
        t = (codes == 3).sum(axis=0) / there * (there >= 0.5 * len(codes))
        run = np.convolve(t, np.ones(4) / 4, "valid")
        starts = np.flatnonzero((run >= 0.7) & (t[: len(run)] >= 0.6))
        return int(starts[0]) if len(starts) and starts[0] >= 4 else None

    @cached_property
    def panel(self) -> Share:
        """Reads whose 12 bases at one fixed place are common: antibody tags, guides, their scaffold; seldom cDNA.

        Common is what one read in a thousand has, and three at least; tracts and template switch oligos don't count.
        """
        codes = self.sample.codes
        if codes.shape[1] > len(_TSO):
            codes = codes[~((codes[:, : len(_TSO)] == _TSO).sum(axis=1) >= len(_TSO) - 1)]
        best = Share(0, len(codes))
        for offset in range(0, min(codes.shape[1] - 12, 40) + 1, 2):
            values, whole = words(codes, offset, 12)
            block = codes[:, offset : offset + 12]
            whole &= np.max([(block == base).sum(axis=1) for base in range(4)], axis=0) < 8
            _, which, counts = np.unique(values[whole], return_inverse=True, return_counts=True)
            common = int((counts[which] >= max(3, len(codes) / 1000)).sum())
            best = max(best, Share(common, len(codes)), key=lambda share: share.hits)
        return best

    @cached_property
    def alternating(self) -> bool:
        """Whether long and short reads take turns: two reads in one file, as Cell Ranger 1's `read-RA` has them."""
        values, counts = np.unique(self.sample.lengths, return_counts=True)
        many = values[counts >= 0.3 * len(self.sample.lengths)]
        return bool(len(many) == 2 and many[0] <= MAX_INDEX and many[1] >= MIN_CDNA)

    def as_json(self) -> dict[str, Any]:
        """What the evidence says of the file."""
        return {
            "length": self.sample.length,
            "reads_in_window": self.sample.n_seen,
            "listed": {name: share.as_json() for name, share in self.fits.items()},
            "poly_t_start": self.poly_t_start,
            "panel": self.panel.as_json(),
            "strands": {name: dict(zip(("sense", "antisense"), n, strict=True)) for name, n in self.strands.items()},
        }


def capped_share(sample: ReadSample, barcodes: BarcodeList, place: Place) -> Share:
    """The share of reads with a listed barcode, those of one barcode beyond `MOST_OF_ONE` of the reads left out."""
    values, _ = words(sample.codes, place.offset, barcodes.length)
    hit = listed(sample, barcodes, place)
    counts = np.unique(values[hit], return_counts=True)[1]
    hits = int(np.minimum(counts, max(2, int(MOST_OF_ONE * len(values)))).sum())
    return Share(hits, hits + int((~hit).sum()))


def pooled(looks: Sequence[Look]) -> Look:
    """The same role's files of all lanes as one; `looks` must not be empty."""
    first = looks[0]
    if len(looks) == 1:
        return first
    width = max(look.sample.codes.shape[1] for look in looks)
    codes = [
        np.pad(look.sample.codes, ((0, 0), (0, width - look.sample.codes.shape[1])), constant_values=NO_BASE)
        for look in looks
    ]
    sample = ReadSample(
        path=first.sample.path,
        codes=np.concatenate(codes),
        lengths=np.concatenate([look.sample.lengths for look in looks]),
        n_seen=sum(look.sample.n_seen for look in looks),
        spots="",
    )
    return Look(sample, first.lists, first.references)


def strand_shares(look: Look) -> Mapping[str, tuple[Share, Share]]:
    """Per reference: the share of reads that match it, and of those the share in sense."""
    n = len(look.sample.lengths)
    return {name: (Share(a + b, n), Share(a, a + b)) for name, (a, b) in look.strands.items()}
