"""The class of each molecule by velocyto's Permissive10X logic (La Manno et al. 2018), from its true alignments.

Per read and transcript, an aligned segment matches each exon or intron that it overlaps by more than five bases.
Transcripts with fewer matches than the best one are dropped, and for a spliced read also those to none of whose
feature ends a segment comes within six bases. A molecule keeps the transcripts that fit all of its reads, and is

- spliced if some transcript has it in exons only and no other has it in introns (unless across an exon–intron border),
- ambiguous if both occur,
- unspliced if no transcript has it in exons only,
- not counted if no transcript fits all reads, or transcripts of two genes do.

Border crossings count only for introns that an unspliced, uniquely placed read of some cell crosses into. What of
velocyto is left out on purpose: it never tests the last feature of a chromosome's strand.
"""

from typing import NamedTuple

import numpy as np

from velocorpus.simulate.genome import Genome
from velocorpus.simulate.templates import Blocks

FLANK = 5  # bases that a segment must reach beyond to count as overlapping
NEAR = 6  # bases that a splice may lie off a feature's end
SPLICED, UNSPLICED, AMBIGUOUS, UNCOUNTED = 0, 1, 2, 3


class Candidates(NamedTuple):
    """Transcripts that reads of a gene may fit: those of gene g are `tx[ptr[g]:ptr[g + 1]]`."""

    ptr: np.ndarray
    tx: np.ndarray


def candidates(genome: Genome, *, neighbours: bool) -> Candidates:
    """Each gene's own transcripts, or with `neighbours` also those of genes that overlap it on its strand."""
    tx_ptr = genome.tx_ptr()
    genes = genome.genes
    lists: list[np.ndarray] = [np.arange(tx_ptr[g], tx_ptr[g + 1]) for g in range(len(genes))]
    if neighbours:
        start, end = genes["start"].to_numpy(), genes["end"].to_numpy()
        side = (genes["chromosome"].astype(str) + genes["strand"].map({1: "+", -1: "-"})).to_numpy()
        own = list(lists)
        for g in range(len(genes)):
            near = np.flatnonzero((side == side[g]) & (start < end[g]) & (end > start[g]))
            lists[g] = np.concatenate([own[h] for h in near])
    return Candidates(np.concatenate([[0], np.cumsum([len(x) for x in lists])]), np.concatenate(lists))


def label_molecules(
    genome: Genome,
    *,
    molecule: np.ndarray,
    gene: np.ndarray,
    blocks: Blocks,
    unique: np.ndarray,
    n_molecules: int,
    among: Candidates,
) -> tuple[np.ndarray, np.ndarray]:
    """Class of each molecule, one of `SPLICED`, `UNSPLICED`, `AMBIGUOUS`, `UNCOUNTED`, and the gene row it counts for.

    Per read: its `molecule`, the row of its `gene`, its `blocks`, and whether it is `unique` (not so: does not
    validate introns). A molecule without reads is not counted.
    """
    features = _Features(genome)
    n_tx = among.ptr[gene + 1] - among.ptr[gene]
    pair_ptr = np.concatenate([[0], np.cumsum(n_tx)])
    read = np.repeat(np.arange(len(gene)), n_tx)
    tx = among.tx[among.ptr[gene[read]] + np.arange(len(read)) - pair_ptr[read]]

    n_blocks = np.diff(blocks.ptr)
    pair = np.repeat(np.arange(len(read)), n_blocks[read])
    hit_ptr = np.concatenate([[0], np.cumsum(n_blocks[read])])
    block = blocks.ptr[read[pair]] + np.arange(len(pair)) - hit_ptr[pair]
    start, end = blocks.start[block] + 1, blocks.end[block]  # 1-based, inclusive, as in the rules
    first, last = features.overlapped(tx[pair], start, end)
    matched = np.where(end - start > FLANK, np.maximum(last - first, 0), 0)
    exons = np.where(matched > 0, features.exons_before[last] - features.exons_before[first], 0)

    n_pairs = len(read)
    matches = np.bincount(pair, matched, n_pairs).astype(np.int64)
    has_exon = np.bincount(pair, exons, n_pairs) > 0
    has_intron = np.bincount(pair, matched - exons, n_pairs) > 0
    spliced = n_blocks[read] > 1
    best = np.zeros(len(gene), np.int64)
    np.maximum.at(best, read, matches)
    keeps = (matches == best[read]) & (best[read] > 0)
    odd = _skips_oddly(features, first, start, end, matched) & spliced[pair]
    keeps[pair[odd]] = False
    crosses = _crosses(features, pair, tx, start, end, valid_from=(unique[read] & ~spliced))

    heard = np.bincount(read[keeps], minlength=len(gene)) > 0  # a read that fits nothing has no say
    fits_read = heard[read]
    key = molecule[read] * len(genome.tx_id) + tx
    keys, group = np.unique(key[fits_read], return_inverse=True)
    n_reads = np.bincount(molecule[heard], minlength=n_molecules)
    fits = np.bincount(group[keeps[fits_read]], minlength=len(keys)) == n_reads[keys // len(genome.tx_id)]

    def any_of(flag: np.ndarray) -> np.ndarray:
        return np.bincount(group, flag[fits_read], len(keys)) > 0

    exon, intron, cross = any_of(has_exon), any_of(has_intron), any_of(crosses)
    of_molecule, of_gene = keys // len(genome.tx_id), genome.tx_gene[keys % len(genome.tx_id)]
    mature = _molecules_with(of_molecule[fits & exon & ~intron], n_molecules)
    nascent = _molecules_with(of_molecule[fits & intron & ~(exon & cross)], n_molecules)
    counted = _molecules_with(of_molecule[fits], n_molecules)
    lowest, highest = np.full(n_molecules, len(genome.genes)), np.full(n_molecules, -1)
    np.minimum.at(lowest, of_molecule[fits], of_gene[fits])
    np.maximum.at(highest, of_molecule[fits], of_gene[fits])
    label = np.where(mature, np.where(nascent, AMBIGUOUS, SPLICED), UNSPLICED)
    one_gene = counted & (lowest == highest)
    return np.where(one_gene, label, UNCOUNTED).astype(np.int8), np.where(one_gene, highest, -1)


class _Features:
    """Exons and introns of all transcripts, flat and ascending within each; binary search by (transcript, position)."""

    def __init__(self, genome: Genome) -> None:
        n_exons = np.diff(genome.exon_ptr)
        self.ptr = np.concatenate([[0], np.cumsum(2 * n_exons - 1)])
        tx = np.repeat(np.arange(len(n_exons)), 2 * n_exons - 1)
        within = np.arange(self.ptr[-1]) - self.ptr[tx]
        exon = genome.exon_ptr[tx] + within // 2
        self.is_exon = within % 2 == 0
        following = np.minimum(exon + 1, len(genome.exon_start) - 1)
        self.start = np.where(self.is_exon, genome.exon_start[exon], genome.exon_end[exon]) + 1
        self.end = np.where(self.is_exon, genome.exon_end[exon], genome.exon_start[following])
        self.width = max(len(s) for s in genome.chromosomes.values()) + 1000
        self.start_key = tx * self.width + self.start
        self.end_key = tx * self.width + self.end
        self.exons_before = np.concatenate([[0], np.cumsum(self.is_exon)])

    def overlapped(self, tx: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Features first..last−1 of `tx` that overlap start..end by more than the flank."""
        key = tx * self.width
        first = np.searchsorted(self.end_key, key + start + FLANK, "right")
        last = np.searchsorted(self.start_key, key + end - FLANK, "left")
        return np.maximum(first, self.ptr[tx]), np.minimum(last, self.ptr[tx + 1])


def _skips_oddly(
    features: _Features, first: np.ndarray, start: np.ndarray, end: np.ndarray, matched: np.ndarray
) -> np.ndarray:
    """Whether some feature that a segment matches has neither end near the segment's."""
    odd = np.zeros(len(start), bool)
    for k in range(int(matched.max(initial=0))):
        rows = np.flatnonzero(matched > k)
        f = first[rows] + k
        near = (abs(features.start[f] - start[rows]) <= NEAR) | (abs(features.end[f] - end[rows]) <= NEAR)
        odd[rows[~near]] = True
    return odd


def _crosses(
    features: _Features,
    pair: np.ndarray,
    tx: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    *,
    valid_from: np.ndarray,
) -> np.ndarray:
    """Whether each (read, transcript) crosses a border of an intron that the reads `valid_from` validate."""
    key = tx[pair] * features.width
    # The border behind feature f lies at its end e: crossed when start + 5 < e and end − 5 > e + 1.
    first = np.maximum(np.searchsorted(features.end_key, key + start + FLANK, "right"), features.ptr[tx[pair]])
    stop = np.searchsorted(features.end_key, key + end - FLANK - 1, "left")
    stop = np.minimum(stop, features.ptr[tx[pair] + 1] - 1)
    n = np.maximum(stop - first, 0)
    row = np.repeat(np.arange(len(pair)), n)
    border = first[row] + np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n)
    intron = np.where(features.is_exon[border], border + 1, border)
    validated = np.zeros(len(features.start), bool)
    validated[intron[valid_from[pair[row]]]] = True
    crosses = np.zeros(len(tx), bool)
    crosses[pair[row[validated[intron]]]] = True
    return crosses


def _molecules_with(molecules: np.ndarray, n: int) -> np.ndarray:
    found = np.zeros(n, bool)
    found[molecules] = True
    return found
