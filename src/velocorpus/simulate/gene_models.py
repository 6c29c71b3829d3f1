"""One gene's exons, isoforms and priming sites, drawn in the gene's own 5'→3' coordinates.

Each kind is a difficulty that real annotations have and that separates counters: alternative last exons and
retained introns make molecules ambiguous, one-exon genes have nothing to tell spliced from unspliced, long introns
catch most unspliced reads. Lengths are log-normal and short (median intron 700 bases against about 1.5 kb in human
genes), so that an index of 600 genes is built in seconds; the cost is that introns hold fewer reads than in life.
"""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

SIMPLE = "simple"
ISOFORMS = "isoforms"
ONE_EXON = "one_exon"
LONG_INTRON = "long_intron"
PARALOG = "paralog"
SAME_STRAND = "overlap_same_strand"
ANTISENSE = "antisense"
CHROMOSOME_END = "chromosome_end"
MITOCHONDRIAL = "mitochondrial"
DIFFICULTIES = (
    SIMPLE,
    ISOFORMS,
    ONE_EXON,
    LONG_INTRON,
    PARALOG,
    SAME_STRAND,
    ANTISENSE,
    CHROMOSOME_END,
    MITOCHONDRIAL,
)

Exons = list[tuple[int, int]]


@dataclass(frozen=True)
class GeneModel:
    """A gene in its own coordinates: 0 is its 5' end, intervals are half-open, in bases.

    `isoforms` are exon lists in 5'→3' order, the first is the main one; `weights` sums to 1 over them. `sites` are
    the 5' ends of A-rich tracts in introns, where the poly(dT) primer also binds; `tracts` are their lengths.
    """

    span: int
    isoforms: list[Exons]
    weights: np.ndarray
    sites: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    tracts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def draw_gene(kind: str, rng: np.random.Generator, further: tuple[int, int] = (1, 4)) -> GeneModel:
    """Draw a gene of one of `DIFFICULTIES`; `further` is the range (half-open) of tries for a further isoform."""
    if kind in (ONE_EXON, MITOCHONDRIAL):
        span = int(rng.integers(500, 2200))
        return GeneModel(span, [[(0, span)]], np.ones(1))
    n_exons = int(np.clip(3 + rng.poisson(2.5), 4 if kind == ISOFORMS else 3, 10))
    exons = _lognormal(130, 0.35, 60, 400, n_exons, rng)
    exons[0] = rng.integers(120, 300)
    exons[-1] = _lognormal(560, 0.45, 300, 1800, 1, rng)[0]
    introns = _lognormal(700, 0.7, 150, 4000, n_exons - 1, rng)
    if kind == LONG_INTRON:
        introns[rng.integers(len(introns))] = rng.integers(20_000, 60_000)
    starts = np.concatenate([[0], np.cumsum(exons[:-1] + introns)])
    main: Exons = [(int(s), int(s + e)) for s, e in zip(starts, exons, strict=True)]
    isoforms = [main]
    if kind == ISOFORMS:
        changes = [_skip_exon, _alternative_last_exon, _retain_intron, _short_end]
        for change in np.resize(rng.permutation(len(changes)), rng.integers(*further)):
            changed = changes[change](main, rng)
            if changed and changed not in isoforms:
                isoforms.append(changed)
    sites, tracts = _priming_sites(main, rng)
    return GeneModel(main[-1][1], isoforms, _weights(len(isoforms), rng), sites, tracts)


def _lognormal(median: float, sigma: float, low: int, high: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return np.clip(rng.lognormal(np.log(median), sigma, n), low, high).astype(np.int64)


def _weights(n: int, rng: np.random.Generator) -> np.ndarray:
    main = rng.uniform(0.65, 0.9) if n > 1 else 1.0
    return np.concatenate([[main], (1 - main) * rng.dirichlet(np.full(n - 1, 5.0))]) if n > 1 else np.ones(1)


def _skip_exon(main: Exons, rng: np.random.Generator) -> Exons:
    skipped = int(rng.integers(1, len(main) - 1))
    return main[:skipped] + main[skipped + 1 :]


def _alternative_last_exon(main: Exons, rng: np.random.Generator) -> Exons | None:
    """End the transcript inside an intron that is long enough: exon of one isoform, intron of the other."""
    for left in rng.permutation(len(main) - 1):
        start, end = main[left][1], main[left + 1][0]
        if end - start >= 900:
            first = start + int(rng.integers(200, end - start - 600))
            return [*main[: left + 1], (first, first + int(rng.integers(380, 550)))]
    return None


def _retain_intron(main: Exons, rng: np.random.Generator) -> Exons | None:
    short = [i for i in range(len(main) - 1) if main[i + 1][0] - main[i][1] <= 1000]
    if not short:
        return None
    kept = int(rng.choice(short))
    return [*main[:kept], (main[kept][0], main[kept + 1][1]), *main[kept + 2 :]]


def _short_end(main: Exons, rng: np.random.Generator) -> Exons:
    start, end = main[-1]
    return [*main[:-1], (start, start + int((end - start) * rng.uniform(0.5, 0.7)))]


def _priming_sites(main: Exons, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A-rich tracts about every 1,200 bases of intron, one at least, away from the intron's 5' end.

    A read lies about 280 bases upstream of its site, so a site near the 5' end would give an exonic read.
    """
    sites: list[int] = []
    for (_, start), (end, _) in pairwise(main):
        n = int(np.clip(round((end - start) / 1200), 1, 12))
        first = start + min(330, int(0.7 * (end - start)))
        sites += sorted(int(x) for x in rng.integers(first, end - 22, n)) if end - 22 > first else []
    return np.array(sites, np.int64), rng.integers(10, 19, len(sites))
