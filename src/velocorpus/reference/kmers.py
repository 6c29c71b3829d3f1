"""The words of a reference's exons, for the trial match of `velocorpus.reads.chemistry.kmers`."""

from collections import defaultdict
from pathlib import Path

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.kmers import KmerIndex, sampled_kmers
from velocorpus.reads.chemistry.sampling import NO_BASE
from velocorpus.reference.annotation import read_records
from velocorpus.reference.genome import read_genome

EVERY = 8
_CODES = np.full(256, NO_BASE, np.uint8)
_CODES[list(b"ACGT")] = np.arange(4)


def build_index(fasta: Path | str, gtf: Path | str, *, name: str, organism: str, every: int = EVERY) -> KmerIndex:
    """Sample the words of all exons, in sense of their genes; overlapping exons of one strand are taken once.

    `every`: one word in so many is kept; 8 makes about 120 MB of a human reference. Memory: that of the genome (3 GB
    for human) and the words. Raises `UserMistake` when no exon lies in the genome.
    """
    exons: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for record in read_records(gtf):
        if record.feature == "exon":
            exons[record.chromosome, record.strand].append((record.start, record.end))
    genome = read_genome(fasta)
    parts = []
    for (chromosome, strand), places in exons.items():
        bases = _CODES[np.frombuffer(genome.get(chromosome, b""), np.uint8)]
        for start, end in _united(places):
            piece = bases[start - 1 : end]
            if strand == "-":
                piece = np.where(piece == NO_BASE, piece, 3 - piece)[::-1]
            parts.append(sampled_kmers(np.ascontiguousarray(piece, np.uint8), np.uint64(every)))
    kmers = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.uint64)
    if not len(kmers):
        raise UserMistake(f"No exon of {gtf} lies in {fasta}; take both from one assembly.")
    return KmerIndex(name, organism, every, kmers)


def _united(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals (first and last base) with what overlaps made one."""
    united: list[tuple[int, int]] = []
    for start, end in sorted(places):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(end, united[-1][1]))
        else:
            united.append((start, end))
    return united
