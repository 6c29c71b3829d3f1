"""Reads of libraries of many kinds, as arrays, for drills of what recognises them: 10x of every chemistry, and others.

Cheap on purpose: transcripts are random sequence, so that a thousand libraries take minutes. Reads whose counts must be
right come from `velocorpus.simulate.reads`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from velocorpus.reads.chemistries import CHEMISTRIES, list_name
from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.reads.chemistry.cdna import TSO_5P
from velocorpus.reads.chemistry.kmers import KmerIndex, sampled_kmers

TENX = tuple(CHEMISTRIES)
# Not 10x gene expression; the last has 10x's geometry, but barcodes of a list that nobody has.
OTHERS = ("cel_seq2", "drop_seq", "smart_seq2", "antibody", "crispr", "atac", "unlisted")
KINDS = (*TENX, *OTHERS)
CDNA_LEN = 91
# Share of a list that is on another list too: 10x's overlap by a tenth.
OVERLAP = 0.1
_TSO_3P = "AAGCAGTGGTATCAACGCAGAGTACATGGG"
_SCAFFOLD = "GTTTAAGAGCTAAGCTGGAAACAGCATAGCAAGTTTAAATAAGGCTAGTCCGTTATCAACTTGAAAAAGTGGCACCGAGTCGG"


def bases(text: str) -> np.ndarray:
    """A sequence as codes, uint8."""
    return np.array(["ACGT".index(base) for base in text], np.uint8)


@dataclass(frozen=True)
class Species:
    """Transcripts in sense (uint8 codes) and how often each is read."""

    name: str
    transcripts: tuple[np.ndarray, ...]
    weights: np.ndarray

    def index(self, every: int = 8) -> KmerIndex:
        """The k-mer index of its transcripts, as `velocorpus kmers` makes it of a reference."""
        kmers = [sampled_kmers(transcript, np.uint64(every)) for transcript in self.transcripts]
        return KmerIndex(self.name, self.name, every, np.unique(np.concatenate(kmers)))


def two_species(rng: np.random.Generator, *, n_genes: int = 300, divergence: float = 0.12) -> tuple[Species, Species]:
    """`human` and `mouse`: coding parts that differ by `divergence`, 3' ends that have nothing in common."""
    human, mouse = [], []
    for _ in range(n_genes):
        coding = rng.integers(0, 4, 900).astype(np.uint8)
        other = substitute(coding, divergence, rng)
        human.append(np.concatenate([coding, rng.integers(0, 4, 600).astype(np.uint8)]))
        mouse.append(np.concatenate([other, rng.integers(0, 4, 600).astype(np.uint8)]))
    weights = rng.lognormal(0, 1.5, n_genes)
    return Species("human", tuple(human), weights), Species("mouse", tuple(mouse), weights)


def substitute(codes: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
    """Wrong bases at a rate; the shape of `codes`."""
    wrong = (rng.random(codes.shape) < rate) & (codes < 4)
    return np.where(wrong, (codes + rng.integers(1, 4, codes.shape)) % 4, codes).astype(np.uint8)


def make_library(
    kind: str,
    n: int,
    *,
    species: Species,
    lists: Mapping[str, BarcodeList],
    error: float,
    rng: np.random.Generator,
    read1_len: int | None = None,
) -> dict[str, np.ndarray]:
    """Files of one lane by role (`barcode`, `cdna`, `index`, `umi`, or `read1` and `read2`): uint8 (n, bases).

    `kind` is one of `KINDS`; `read1_len` makes the barcode read longer than barcode and UMI, so that what
    follows is read: a tract of T at 3' beads, the template switch oligo and cDNA at 5' ones.
    """
    reverse = kind.endswith("_5p")
    cdna = _cdna(species, n, reverse=reverse, rng=rng)
    files = {"index": bases("ACGTTGCA")[None].repeat(n, axis=0)}
    if kind == "smart_seq2":
        pair = [_full_length(species, n, rng) for _ in range(2)]
        files = {"read1": pair[0], "read2": pair[1]}
    elif kind in ("cel_seq2", "drop_seq"):
        barcode_len, umi_len = (6, 6) if kind == "cel_seq2" else (12, 8)
        barcodes = rng.integers(0, 4, (96 if kind == "cel_seq2" else 400, barcode_len))
        head = [_random(n, umi_len, rng), barcodes[rng.integers(0, len(barcodes), n)]]
        files |= {"barcode": _long(np.concatenate(head, axis=1), read1_len or 26, "forward", rng), "cdna": cdna}
    elif kind == "10xv1":
        files |= {"barcode": _barcodes(lists["10xv1"], n, rng), "umi": _random(n, 10, rng), "cdna": cdna}
    elif kind == "atac":
        genome = _random(n, 50, rng)
        files |= {"barcode": _barcodes(lists["10x ATAC"], n, rng), "read1": genome, "read2": _random(n, 49, rng)}
    else:
        name = {"antibody": "10xv3", "crispr": "10xv3"}.get(kind, kind)
        listed = _unlisted(lists["10xv3"], rng) if kind == "unlisted" else lists[list_name(name)]
        umi_len = 12 if kind == "unlisted" else CHEMISTRIES[name].umi_len
        head = np.concatenate([_barcodes(listed, n, rng), _random(n, umi_len, rng)], axis=1)
        files |= {"barcode": _long(head, read1_len or 0, "reverse" if reverse else "forward", rng)}
        files["cdna"] = (
            {"antibody": _tags, "crispr": _guides}[kind](n, rng) if name != kind and kind != "unlisted" else cdna
        )
    return {role: substitute(codes, error, rng) for role, codes in files.items()}


def _random(n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 4, (n, length)).astype(np.uint8)


def _digits(codes: np.ndarray, length: int) -> np.ndarray:
    return (codes[:, None] >> (2 * np.arange(length - 1, -1, -1)).astype(np.uint64) & np.uint64(3)).astype(np.uint8)


def _barcodes(barcodes: BarcodeList, n: int, rng: np.random.Generator, cells: int = 300) -> np.ndarray:
    """Barcodes of cells of unequal size, one in twenty of an empty droplet."""
    chosen = rng.integers(0, len(barcodes.codes), cells)
    sizes = rng.lognormal(0, 0.8, cells)
    of_cell = chosen[rng.choice(cells, n, p=sizes / sizes.sum())]
    drawn = np.where(rng.random(n) < 0.05, rng.integers(0, len(barcodes.codes), n), of_cell)
    return _digits(barcodes.codes[drawn], barcodes.length)


def _unlisted(known: BarcodeList, rng: np.random.Generator) -> BarcodeList:
    shared = known.codes[rng.integers(0, len(known.codes), 1000)]
    strange = rng.integers(0, 4**16, int(1000 / OVERLAP), dtype=np.uint64)
    return BarcodeList("unlisted", 16, np.unique(np.concatenate([shared, strange])))


def _long(head: np.ndarray, length: int, strand: str, rng: np.random.Generator) -> np.ndarray:
    """`head` with what a longer read 1 goes on with, up to `length` bases."""
    more = length - head.shape[1]
    if more <= 0:
        return head
    tail = _random(len(head), more, rng)
    if strand == "forward":
        tail[:, :30] = 3
    else:
        tail[:, : len(TSO_5P)] = TSO_5P[:more]
    return np.concatenate([head, tail], axis=1)


def _pieces(species: Species, gene: np.ndarray, start: np.ndarray) -> np.ndarray:
    begins = np.concatenate([[0], np.cumsum([len(transcript) for transcript in species.transcripts])])
    return np.concatenate(species.transcripts)[(begins[gene] + start)[:, None] + np.arange(CDNA_LEN)]


def _turned(codes: np.ndarray, which: np.ndarray) -> np.ndarray:
    return np.where(which[:, None], 3 - codes[:, ::-1], codes).astype(np.uint8)


def _genes(species: Species, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    gene = rng.choice(len(species.weights), n, p=species.weights / species.weights.sum())
    return gene, np.array([len(transcript) for transcript in species.transcripts])[gene] - CDNA_LEN


def _cdna(species: Species, n: int, *, reverse: bool, rng: np.random.Generator) -> np.ndarray:
    """Stranded reads: near the 3' end in sense, or near the 5' end in antisense; a tenth turned, a fifth of nowhere."""
    gene, last = _genes(species, n, rng)
    near = rng.integers(0, 400, n)
    reads = _pieces(species, gene, np.minimum(near, last) if reverse else np.maximum(last - near, 0))
    reads = _turned(reads, (rng.random(n) < 0.1) != reverse)
    nowhere = rng.random(n) < 0.2
    reads[nowhere] = _random(int(nowhere.sum()), CDNA_LEN, rng)
    tso = rng.random(n) < 0.05
    reads[tso, : len(_TSO_3P)] = bases(_TSO_3P)
    return reads


def _full_length(species: Species, n: int, rng: np.random.Generator) -> np.ndarray:
    gene, last = _genes(species, n, rng)
    return _turned(_pieces(species, gene, (rng.random(n) * last).astype(int)), rng.random(n) < 0.5)


def _tags(n: int, rng: np.random.Generator, panel: int = 120) -> np.ndarray:
    """Antibody tags: 10 random bases, 15 of a tag, the capture sequence."""
    tags = rng.integers(0, 4, (panel, 15)).astype(np.uint8)
    weights = rng.lognormal(0, 1, panel)
    chosen = tags[rng.choice(panel, n, p=weights / weights.sum())]
    capture = np.broadcast_to(bases("GCTTTAAGGCCGGTCCTAGCAA"), (n, 22))
    return np.concatenate([_random(n, 10, rng), chosen, capture], axis=1)


def _guides(n: int, rng: np.random.Generator, guides: int = 2000) -> np.ndarray:
    """CRISPR guides: 20 bases of a guide, the scaffold."""
    chosen = rng.integers(0, 4, (guides, 20)).astype(np.uint8)[rng.integers(0, guides, n)]
    return np.concatenate([chosen, np.broadcast_to(bases(_SCAFFOLD[:71]), (n, 71))], axis=1)
