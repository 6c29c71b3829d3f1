"""Sketches of samples by their molecules, and whether a sample's are those of another.

A sketch is the `SIZE` smallest hashes of the pairs of barcode and UMI (bottom-k MinHash, Broder 1997). Two samples of
different libraries share next to none; one library deposited twice, or sequenced twice, shares most of them, whatever
the order, the depth or the names of its reads.
"""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.files import existing, replacing
from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.reads.chemistry.sampling import encode, fastq_records, words

SIZE = 2000
CHUNK = 100_000
# Fewer hashes in common range say nothing about a share.
MIN_COMPARED = 100


def sketch_reads(paths: Sequence[Path | str], barcodes: BarcodeList, umi_len: int, *, most: int) -> np.ndarray:
    """The smallest hashes of the molecules of barcode reads: uint64, ascending, at most `SIZE`.

    Of each file `most` reads are read, 0 for all. Only listed barcodes with a whole UMI of more than one base count.
    """
    smallest = np.zeros(0, np.uint64)
    for path in paths:
        with fastq_records(path) as records:
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


def write_sketches(path: Path | str, sketches: Mapping[str, np.ndarray]) -> None:
    """Write samples' sketches as .npz; equal sketches in equal order are equal bytes."""
    with replacing(path) as aside, aside.open("wb") as out:
        np.savez(
            out,
            samples=np.array(list(sketches), dtype=str),
            ends=np.cumsum([len(sketch) for sketch in sketches.values()], dtype=np.int64),
            hashes=np.concatenate([np.zeros(0, np.uint64), *sketches.values()]),
        )


def read_sketches(path: Path | str) -> dict[str, np.ndarray]:
    """The sketches of a file by sample, in its order; anything else is refused."""
    try:
        with existing(path, "sketch").open("rb") as raw, np.load(raw) as parts:
            hashes = np.split(parts["hashes"], parts["ends"][:-1]) if len(parts["ends"]) else []
            return dict(zip(parts["samples"].tolist(), hashes, strict=True))
    except (KeyError, ValueError, OSError, EOFError, TypeError, BadZipFile):
        raise UserMistake(f"{path} is no sketch of reads; make it by `velocorpus reads-qc`.") from None


def shared(a: np.ndarray, b: np.ndarray) -> float:
    """The share of the smaller sample's molecules that both have; 0 where too few can be compared."""
    if not len(a) or not len(b):
        return 0.0
    # Below the smaller of the two greatest hashes both sketches are complete; a short sketch is complete everywhere.
    last = min((one[-1] for one in (a, b) if len(one) == SIZE), default=np.uint64(2**64 - 1))
    a, b = a[a <= last], b[b <= last]
    fewest = min(len(a), len(b))
    return len(np.intersect1d(a, b, assume_unique=True)) / fewest if fewest >= MIN_COMPARED else 0.0


def repeated_from(sketch: np.ndarray, earlier: Mapping[str, np.ndarray], max_shared: float) -> tuple[str, float] | None:
    """The first of `earlier` with which a sample shares more than `max_shared`, and how much; None where it is new."""
    for name, other in earlier.items():
        if (found := shared(sketch, other)) > max_shared:
            return name, found
    return None
