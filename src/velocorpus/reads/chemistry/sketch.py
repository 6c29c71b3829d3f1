"""Sketches of samples by their molecules, and which samples share theirs.

A sketch is the `SIZE` smallest hashes of the pairs of barcode and UMI (bottom-k MinHash, Broder 1997). Two samples of
different libraries share next to none; one library deposited twice, or sequenced twice, shares most of them, whatever
the order, the depth or the names of its reads.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice
from pathlib import Path

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.files import existing, replacing
from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.reads.chemistry.sampling import encode, words

SIZE = 2000
CHUNK = 100_000
# Fewer hashes in common range say nothing about a share.
MIN_COMPARED = 100


@dataclass(frozen=True)
class Pair:
    """Two samples and the share of the smaller one's molecules that the other has too."""

    first: str
    second: str
    shared: float


def sketch_reads(paths: Sequence[Path | str], barcodes: BarcodeList, umi_len: int, *, most: int) -> np.ndarray:
    """The smallest hashes of the molecules of barcode reads: uint64, ascending, at most `SIZE`.

    Of each file `most` reads are read, 0 for all. Only listed barcodes with a whole UMI of more than one base count.
    """
    import dnaio

    smallest = np.zeros(0, np.uint64)
    for path in paths:
        with dnaio.open(path, fileformat="fastq") as records:
            reads = (record.sequence for record in (islice(records, most) if most else records))
            while chunk := list(islice(reads, CHUNK)):
                hashes = _hashes(chunk, barcodes, umi_len)
                smallest = np.unique(np.concatenate([smallest, hashes]))[:SIZE]
    return smallest


def _hashes(reads: list[str], barcodes: BarcodeList, umi_len: int) -> np.ndarray:
    codes = encode([read[: barcodes.length + umi_len] for read in reads])
    molecule, whole = words(codes, 0, barcodes.length + umi_len)
    whole &= barcodes.holds(molecule >> np.uint64(2 * umi_len))
    umi = codes[:, barcodes.length :]
    if umi.shape[1]:
        # A UMI of one base is an oligo's fault and found in every library.
        whole &= np.max([(umi == base).sum(axis=1) for base in range(4)], axis=0) < umi_len - 1
    return _mixed(molecule[whole])


def _mixed(values: np.ndarray) -> np.ndarray:
    """A hash of each number: the finaliser of SplitMix64 (Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def write_sketch(path: Path | str, sketch: np.ndarray) -> None:
    """Write a sketch as .npy."""
    with replacing(path) as aside, aside.open("wb") as out:
        np.save(out, sketch)


def read_sketch(path: Path | str) -> np.ndarray:
    """Read a sketch; anything else is refused."""
    try:
        sketch = np.load(existing(path, "sketch"))
    except (ValueError, EOFError):
        raise UserMistake(f"{path} is no sketch of reads; make it by `velocorpus reads-qc`.") from None
    if not isinstance(sketch, np.ndarray) or sketch.dtype != np.uint64 or sketch.ndim != 1:
        raise UserMistake(f"{path} is no sketch of reads; make it by `velocorpus reads-qc`.")
    return sketch


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the smaller sample's molecules that both have; 0 where too few can be compared."""
    if not len(a) or not len(b):
        return 0.0
    # Below the smaller of the two greatest hashes both sketches are complete; a short sketch is complete everywhere.
    last = min((one[-1] for one in (a, b) if len(one) == SIZE), default=np.uint64(2**64 - 1))
    a, b = a[a <= last], b[b <= last]
    fewest = min(len(a), len(b))
    return len(np.intersect1d(a, b, assume_unique=True)) / fewest if fewest >= MIN_COMPARED else 0.0


def sharing(sketches: Mapping[str, np.ndarray], max_shared: float) -> list[Pair]:
    """The pairs of samples that share more than `max_shared`, in the order of `sketches`.

    Only pairs with a hash in common are compared: thousands of samples take seconds.
    """
    names = list(sketches)
    owner = np.repeat(np.arange(len(names)), [len(sketches[name]) for name in names])
    hashes = np.concatenate([sketches[name] for name in names]) if names else np.zeros(0, np.uint64)
    order = np.argsort(hashes, kind="stable")
    hashes, owner = hashes[order], owner[order]
    together: Counter[tuple[int, int]] = Counter()
    edges = np.flatnonzero(np.diff(hashes) != 0) + 1
    for group in np.split(owner, edges) if _has_equal(hashes) else []:
        if len(group) > 1:
            together.update(combinations(group.tolist(), 2))
    pairs = [Pair(names[i], names[j], round(shared(sketches[names[i]], sketches[names[j]]), 4)) for i, j in together]
    found = [pair for pair in pairs if pair.shared > max_shared]
    return sorted(found, key=lambda pair: (names.index(pair.first), names.index(pair.second)))


def _has_equal(hashes: np.ndarray) -> bool:
    return bool((np.diff(hashes) == 0).any())
