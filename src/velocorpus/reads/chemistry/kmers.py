"""Exact matches of reads with a reference's exons, both strands: a trial, not an alignment.

`KmerIndex` holds a fixed share of all 31-base words of a reference's exons in sense of their genes (a word is kept by
its hash: FracMinHash, Irber et al. 2022), which `velocorpus kmers` writes. A read of 90 bases has 60 words; with one in
eight kept, a read without errors from an exon has 7 or so chances, and one word suffices: 31 bases do not agree by
chance.
"""

from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.errors import UserMistake
from velocorpus.files import existing, replacing
from velocorpus.reads.chemistry.sampling import NO_BASE

K = 31
FORMAT = 1
# A word whose longest run of one base is this long (a tail, a tract) says nothing of where it is from.
RUN = 12


@dataclass(frozen=True)
class KmerIndex:
    """Sampled words of one reference: `kmers` sorted uint64 (n,), one in `every` kept."""

    name: str
    organism: str
    every: int
    kmers: np.ndarray

    def strands(self, codes: np.ndarray) -> np.ndarray:
        """Per read how often its words stand in the index as they are and turned: int64 (n, 2), sense first."""
        turned = np.where(codes == NO_BASE, NO_BASE, 3 - codes)[:, ::-1].astype(np.uint8)
        found = [_matches(np.ascontiguousarray(one), self.kmers, np.uint64(self.every)) for one in (codes, turned)]
        return np.stack(found, axis=1)


def write_index(path: Path | str, index: KmerIndex) -> None:
    """Write an index as .npz; equal indices are equal bytes."""
    with replacing(path) as aside, aside.open("wb") as out:
        np.savez(
            out,
            format=np.int64(FORMAT),
            name=np.array(index.name),
            organism=np.array(index.organism),
            every=np.int64(index.every),
            kmers=index.kmers,
        )


def read_index(path: Path | str) -> KmerIndex:
    """Read what `write_index` wrote; anything else is refused."""
    try:
        with existing(path, "k-mer index").open("rb") as raw, np.load(raw) as parts:
            if int(parts["format"]) != FORMAT:
                raise KeyError("format")
            return KmerIndex(str(parts["name"]), str(parts["organism"]), int(parts["every"]), parts["kmers"])
    except (KeyError, ValueError, OSError, EOFError, TypeError, BadZipFile):
        raise UserMistake(f"{path} is not a k-mer index of this version; make it by `velocorpus kmers`.") from None


@compiled
def kept(kmer: np.uint64, every: np.uint64) -> bool:
    """Whether a word is of the share that indices keep (the finaliser of MurmurHash3 as hash)."""
    h = kmer ^ (kmer >> np.uint64(33))
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    h ^= h >> np.uint64(33)
    return h % every == 0


@compiled
def sampled_kmers(codes: np.ndarray, every: np.uint64) -> np.ndarray:
    """The kept words of one sequence (uint8 codes, 4 = no base), in order, with repeats: uint64."""
    mask = np.uint64(4**K - 1)
    found = np.empty(len(codes), np.uint64)
    n = 0
    kmer = np.uint64(0)
    whole = run = 0
    last_run = -1  # where the newest long run ended
    for i in range(len(codes)):
        base = codes[i]
        if base > 3:
            whole = run = 0
            continue
        run = run + 1 if whole and base == codes[i - 1] else 1
        if run >= RUN:
            last_run = i
        kmer = (kmer << np.uint64(2) | np.uint64(base)) & mask
        whole += 1
        plain = last_run < 0 or i - K + RUN > last_run
        if whole >= K and plain and kept(kmer, every):
            found[n] = kmer
            n += 1
    return found[:n]


@compiled
def _matches(codes: np.ndarray, kmers: np.ndarray, every: np.uint64) -> np.ndarray:
    counts = np.zeros(len(codes), np.int64)
    for r in range(len(codes)):
        for kmer in sampled_kmers(codes[r], every):
            at = np.searchsorted(kmers, kmer)
            if at < len(kmers) and kmers[at] == kmer:
                counts[r] += 1
    return counts
