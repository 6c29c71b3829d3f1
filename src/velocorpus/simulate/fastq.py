"""10x v3 FASTQ files: R1 of 28 bases (16 barcode, 12 UMI), R2 of 91, two lanes.

Records have one width, so a chunk of them is one byte array; each chunk is a gzip member of its own, made by a
thread, without name or time: the bytes follow from the reads alone.
"""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from velocorpus.files import replacing
from velocorpus.simulate.reads import ReadSet

LANES = (1, 2)
CHUNK = 50_000
GOOD, FAIR, POOR = ord("F"), ord(":"), ord(",")  # the binned qualities of a NovaSeq: 37, 25 and 11


def fastq_name(sample: str, lane: int, read: int) -> str:
    """Illumina's file name, by which Cell Ranger knows sample, lane and read."""
    return f"{sample}_S1_L{lane:03d}_R{read}_001.fastq.gz"


def write_fastqs(folder: Path, sample: str, reads: ReadSet, rng: np.random.Generator) -> list[Path]:
    """Write four files into `folder` (two lanes, R1 and R2); returns their paths."""
    lanes = np.array_split(np.arange(len(reads.molecule)), len(LANES))
    jobs = []
    for lane, rows in zip(LANES, lanes, strict=True):
        for read, bases in ((1, reads.r1), (2, reads.r2)):
            seed = int(rng.integers(2**63))
            jobs.append((folder / fastq_name(sample, lane, read), bases, rows, lane, read, seed))
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(_write, *zip(*jobs, strict=True)))


def _write(path: Path, bases: np.ndarray, rows: np.ndarray, lane: int, read: int, seed: int) -> Path:
    with replacing(path) as aside, aside.open("wb") as out:
        for chunk in _chunks(bases, rows, lane, read, np.random.default_rng(seed)):
            out.write(gzip.compress(chunk, compresslevel=1, mtime=0))
    return path


def _chunks(bases: np.ndarray, rows: np.ndarray, lane: int, read: int, rng: np.random.Generator) -> Iterator[bytes]:
    head, tail = f"@SIM:1:VELO:{lane}:".encode(), f" {read}:N:0:AAAAAAAA\n".encode()
    for at in range(0, max(len(rows), 1), CHUNK):
        part = rows[at : at + CHUNK]
        digits = (np.arange(at, at + len(part))[:, None] // 10 ** np.arange(8, -1, -1)) % 10 + ord("0")
        columns = [
            _repeated(head, len(part)),
            digits.astype(np.uint8),
            _repeated(tail, len(part)),
            bases[part],
            _repeated(b"\n+\n", len(part)),
            qualities(len(part), bases.shape[1], rng),
            _repeated(b"\n", len(part)),
        ]
        yield np.concatenate(columns, axis=1).tobytes()


def _repeated(text: bytes, n: int) -> np.ndarray:
    return np.broadcast_to(np.frombuffer(text, np.uint8), (n, len(text)))


def qualities(n: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """Binned Phred characters, uint8 (n, length): mostly 37, worse towards the end.

    Rows are drawn from 512 patterns, which keeps drawing and compressing fast.
    """
    u = rng.random((512, length))
    poor = np.linspace(0.002, 0.02, length)
    patterns = np.where(u < poor, POOR, np.where(u < 4 * poor, FAIR, GOOD)).astype(np.uint8)
    return patterns[rng.integers(0, len(patterns), n)]
