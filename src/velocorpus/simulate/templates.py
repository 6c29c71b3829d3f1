"""What reads are cut from: mature transcripts, pre-mRNAs and chromosomes, each a sense sequence of genomic blocks.

Templates are numbered transcripts first, then one pre-mRNA a gene (its whole span), then the chromosomes' forward
strands. A read is a template and a start on it; its blocks on the genome follow from the template's exons by
binary search over all templates at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from velocorpus.simulate.genome import Genome, sense


class Blocks(NamedTuple):
    """Aligned blocks: read i has `ptr[i]:ptr[i + 1]` of `start`, `end` (0-based, half-open, ascending)."""

    ptr: np.ndarray
    start: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class Templates:
    """Sequences of all templates end to end (`sequence[offset[k]:offset[k + 1]]`), each with `chromosome` number,
    `strand` and `gene` row (−1 for a chromosome), and their exons in sense order, flat: `cumulative[e]` is where exon
    e begins in `sequence`, `left[e]`, `right[e]` its place on the chromosome.
    """

    sequence: np.ndarray
    offset: np.ndarray
    chromosome: np.ndarray
    strand: np.ndarray
    gene: np.ndarray
    cumulative: np.ndarray
    left: np.ndarray
    right: np.ndarray
    n_transcripts: int
    n_genes: int

    def length(self) -> np.ndarray:
        """Bases of each template."""
        return np.diff(self.offset)

    def sequences(self, template: np.ndarray, start: np.ndarray, length: int) -> np.ndarray:
        """Bases of reads in sense of their templates: uint8 (n, length)."""
        return self.sequence[(self.offset[template] + start)[:, None] + np.arange(length)]

    def blocks(self, template: np.ndarray, start: np.ndarray, length: int) -> Blocks:
        """Where reads lie on the genome, ascending whatever the strand."""
        begin = self.offset[template] + start
        first = np.searchsorted(self.cumulative, begin, "right") - 1
        last = np.searchsorted(self.cumulative, begin + length - 1, "right") - 1
        counts = last - first + 1
        ptr = np.concatenate([[0], np.cumsum(counts)])
        read = np.repeat(np.arange(len(begin)), counts)
        within = np.arange(ptr[-1]) - ptr[read]
        forward = self.strand[template] > 0
        exon = np.where(forward[read], first[read] + within, last[read] - within)
        size = self.right[exon] - self.left[exon]
        a = np.maximum(begin[read] - self.cumulative[exon], 0)
        b = np.minimum(begin[read] + length - self.cumulative[exon], size)
        starts = np.where(forward[read], self.left[exon] + a, self.right[exon] - b)
        return Blocks(ptr, starts, starts + b - a)


def make_templates(genome: Genome) -> Templates:
    """Every transcript, every gene's pre-mRNA and every chromosome of a genome as templates."""
    number = {name: i for i, name in enumerate(genome.chromosomes)}
    chromosome = genome.genes["chromosome"].map(number).to_numpy()
    strand = genome.genes["strand"].to_numpy()
    exons: list[list[tuple[int, int]]] = []
    for t, g in enumerate(genome.tx_gene):
        span = slice(genome.exon_ptr[t], genome.exon_ptr[t + 1])
        pairs = list(zip(genome.exon_start[span], genome.exon_end[span], strict=True))
        exons.append(pairs if strand[g] > 0 else pairs[::-1])
    exons += [[pair] for pair in zip(genome.genes["start"], genome.genes["end"], strict=True)]
    exons += [[(0, len(sequence))] for sequence in genome.chromosomes.values()]
    gene = np.concatenate([genome.tx_gene, np.arange(len(chromosome)), np.full(len(number), -1)])
    of_template = np.concatenate([chromosome[gene[gene >= 0]], np.arange(len(number))])
    strands = np.concatenate([strand[gene[gene >= 0]], np.ones(len(number), np.int64)])
    sequences = list(genome.chromosomes.values())
    pieces = [
        sense(sequences[of_template[k]], int(s), int(e), int(strands[k]))
        for k, pairs in enumerate(exons)
        for s, e in pairs
    ]
    cumulative = np.concatenate([[0], np.cumsum([len(p) for p in pieces])])
    n_exons = np.array([len(pairs) for pairs in exons])
    flat = np.array([pair for pairs in exons for pair in pairs], np.int64)
    return Templates(
        sequence=np.concatenate(pieces),
        offset=cumulative[np.concatenate([[0], np.cumsum(n_exons)])],
        chromosome=of_template,
        strand=strands,
        gene=gene,
        cumulative=cumulative[:-1],
        left=flat[:, 0],
        right=flat[:, 1],
        n_transcripts=len(genome.tx_gene),
        n_genes=len(genome.genes),
    )
