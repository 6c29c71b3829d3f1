"""What in an annotation makes counters disagree about a gene: each trait is one reason, told from GTF and genome alone.

A gene may have several traits, or none. Genes overlap when their bodies do, from first exon to last on one strand of
one chromosome: a read in an intron may then be of either.
"""

from collections.abc import Mapping

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.reference.gtf import MINUS, TranscriptModels

OVERLAP = "overlaps a gene on its strand"
SHARED = "sequence in another gene"
ISOFORMS = "exon of one isoform is intron of another"
SINGLE_EXON = "single exon"
ANTISENSE = "antisense to a gene"
SEVERAL_PLACES = "on several chromosomes or strands"
SIMPLE = "none of these"
# In the order in which they explain most, where a gene is to have one colour.
TRAITS = (OVERLAP, SHARED, ISOFORMS, SINGLE_EXON, ANTISENSE, SEVERAL_PLACES)

K = 31
EVERY = 8  # one word in so many is looked at
SHARED_WORDS = 0.1  # the share of a gene's words that others have, from which on its reads may not be unique
_APART = np.int64(1) << 33  # keeps the coordinates of two groups apart in one sorted array


def gene_traits(models: TranscriptModels, genome: Mapping[str, bytearray] | None = None) -> dict[str, tuple[str, ...]]:
    """Each gene's traits, in the order of `TRAITS`. Without `genome`, `SHARED` is not looked for.

    `genome` is chromosome → bases with the GTF's names and coordinates (`read_genome`). A chromosome that it lacks has
    no words, and so no shared ones.
    """
    n_genes = len(models.gene_ids)
    n_exons = np.diff(models.exon_offset)
    of = np.repeat(np.arange(len(n_exons)), n_exons)  # transcript of each exon
    gene = models.gene[of].astype(np.int64)
    strand = models.strand[of]
    place = models.chromosome[of].astype(np.int64) * 2 + (strand == MINUS)
    start, end = models.exon_start.astype(np.int64), models.exon_end.astype(np.int64)
    # One body a gene and place.
    bodies, body_of = np.unique(np.stack([gene, place]), axis=1, return_inverse=True)
    body_gene, body_place = bodies
    body_start = np.full(len(body_gene), _APART)
    body_end = np.zeros(len(body_gene), dtype=np.int64)
    np.minimum.at(body_start, body_of, start)
    np.maximum.at(body_end, body_of, end)

    def meets(other: int) -> np.ndarray:
        """Genes whose body meets that of another gene: on its strand (0) or on the other (1)."""
        n_met = _overlapping(body_place ^ other, body_start, body_end, body_place, body_start, body_end)
        return np.bincount(body_gene, weights=n_met > 1 - other, minlength=n_genes) > 0

    # Exons that abut, as RefSeq writes a frameshift, have no intron between them.
    inner = np.flatnonzero((of[1:] == of[:-1]) & (end[:-1] + 1 < start[1:]))
    intron_start, intron_end = end[inner] + 1, start[inner + 1] - 1
    in_intron = _overlapping(gene, start, end, gene[inner], intron_start, intron_end) > 0
    has = {
        OVERLAP: meets(0),
        ANTISENSE: meets(1),
        ISOFORMS: np.bincount(gene, weights=in_intron, minlength=n_genes) > 0,
        SINGLE_EXON: np.bincount(gene[inner], minlength=n_genes) == 0,
        SEVERAL_PLACES: np.bincount(body_gene, minlength=n_genes) > 1,
        SHARED: _shared(models, gene, start, end, genome) if genome is not None else np.zeros(n_genes, dtype=bool),
    }
    return {name: tuple(trait for trait in TRAITS if has[trait][g]) for g, name in enumerate(models.gene_ids)}


def _overlapping(
    group: np.ndarray, start: np.ndarray, end: np.ndarray, of: np.ndarray, of_start: np.ndarray, of_end: np.ndarray
) -> np.ndarray:
    """For each interval: how many of the others (`of`, `of_start`, `of_end`) of its group overlap it, ends included."""
    begun = np.searchsorted(np.sort(of * _APART + of_start), group * _APART + end, side="right")
    over = np.searchsorted(np.sort(of * _APART + of_end), group * _APART + start, side="left")
    return begun - over


def _shared(
    models: TranscriptModels, gene: np.ndarray, start: np.ndarray, end: np.ndarray, genome: Mapping[str, bytearray]
) -> np.ndarray:
    """Genes of whose exonic words of `K` bases, either strand, another gene has `SHARED_WORDS` or more elsewhere.

    Where exons of two genes lie over each other their words are at one place, which is an overlap and not a copy.
    """
    code = np.full(256, 4, dtype=np.uint8)
    code[np.frombuffer(b"ACGT", dtype=np.uint8)] = range(4)
    chromosome = np.repeat(models.chromosome, np.diff(models.exon_offset))
    words, owners, places = [], [], []
    for number, name in enumerate(models.chromosomes):
        if name in genome:
            bases = code[np.frombuffer(genome[name], dtype=np.uint8)]
            here = chromosome == number
            exons = np.unique(np.stack([gene[here], start[here] - 1, end[here]]), axis=1)
            found, owner, at = _words(bases, *(np.ascontiguousarray(row) for row in exons))
            words.append(found)
            owners.append(owner)
            places.append(at + number * _APART)
    n_genes = len(models.gene_ids)
    if not words:
        return np.zeros(n_genes, dtype=bool)
    each, which = np.unique(np.concatenate(words), return_inverse=True)
    word, owner = np.unique(np.stack([which, np.concatenate(owners)]), axis=1)
    at, _ = np.unique(np.stack([which, np.concatenate(places)]), axis=1)
    of_others = (np.bincount(word, minlength=len(each)) > 1) & (np.bincount(at, minlength=len(each)) > 1)
    total = np.bincount(owner, minlength=n_genes)
    shared = np.bincount(owner, weights=of_others[word], minlength=n_genes)
    return (total > 0) & (shared >= SHARED_WORDS * np.maximum(total, 1))


@compiled
def _words(bases, gene, start, end):  # type: ignore[no-untyped-def]
    """The sampled words of every exon, the smaller of both strands' (uint64), their genes and last bases (int64)."""
    one, two, top = np.uint64(1), np.uint64(2), np.uint64(2 * (K - 1))
    mask = (one << np.uint64(2 * K)) - one
    words, owners, places = [], [], []
    for i in range(len(gene)):
        forward, backward, length = np.uint64(0), np.uint64(0), 0
        for position in range(start[i], min(end[i], len(bases))):
            base = bases[position]
            if base > 3:
                length = 0
                continue
            forward = ((forward << two) | np.uint64(base)) & mask
            backward = (backward >> two) | (np.uint64(3 - base) << top)
            length += 1
            if length >= K:
                word = min(forward, backward)
                mixed = word ^ (word >> np.uint64(31))
                mixed = mixed * np.uint64(0x9E3779B97F4A7C15)
                if (mixed >> np.uint64(40)) % np.uint64(EVERY) == 0:
                    words.append(word)
                    owners.append(gene[i])
                    places.append(position)
    return np.array(words, dtype=np.uint64), np.array(owners, dtype=np.int64), np.array(places, dtype=np.int64)
