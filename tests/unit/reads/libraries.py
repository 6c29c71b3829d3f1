"""Small libraries of every kind as FASTQs, with lists small enough for a fast suite."""

import gzip
from pathlib import Path

import numpy as np

from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.reads.chemistry.detect import detect, look_at
from velocorpus.reads.chemistry.verdict import Verdict
from velocorpus.simulate.libraries import make_library, two_species

RNG = np.random.default_rng(7)


def some_list(name: str, n: int, length: int, others: tuple[BarcodeList, ...] = ()) -> BarcodeList:
    """A list of `n` random barcodes, a tenth of each other list among them, as 10x's overlap."""
    shared = [one.codes[: n // 10] for one in others]
    return BarcodeList(name, length, np.unique(np.concatenate([RNG.integers(0, 4**length, n, np.uint64), *shared])))


V2 = some_list("10xv2", 40_000, 16)
LISTS = {
    one.name: one
    for one in (
        V2,
        some_list("10xv1", 20_000, 14),
        some_list("10xv3", 60_000, 16, (V2,)),
        some_list("10xv4", 60_000, 16),
        some_list("10xv3_5p", 60_000, 16),
        some_list("10xmultiome", 40_000, 16),
        some_list("10x ATAC", 40_000, 16),
    )
}
HUMAN, MOUSE = two_species(RNG, n_genes=60)
REFERENCES = [HUMAN.index(), MOUSE.index()]


def library(kind: str, n: int = 1200, *, error: float = 0.01, seed: int = 0, **more) -> dict[str, np.ndarray]:
    """The files of one lane of `kind` by role, as codes."""
    rng = np.random.default_rng(seed)
    return make_library(kind, n, species=HUMAN, lists=LISTS, error=error, rng=rng, **more)


def write(path: Path, codes: np.ndarray, *, run: str = "run", number: int = 1) -> Path:
    """Codes as gzip FASTQ; `run` names the spots, `number` is Illumina's number of the read."""
    text = np.frombuffer(b"ACGTN", np.uint8)[codes]
    with gzip.open(path, "wb", compresslevel=1) as out:
        for i, row in enumerate(text):
            out.write(b"@%s:%d %d:N:0:ACGT\n%s\n+\n%s\n" % (run.encode(), i, number, row.tobytes(), b"F" * len(row)))
    return path


def verdict_on(paths: list[Path], references=None, lists=None, *, n_reads: int = 4000, window: int = 20_000) -> Verdict:
    """What is detected in files."""
    return detect(
        look_at(
            paths,
            list((LISTS if lists is None else lists).values()),
            REFERENCES if references is None else references,
            n_reads=n_reads,
            window=window,
            seed=0,
        )
    )


def verdict_of(
    kind: str, folder: Path, *, without: tuple[str, ...] = (), references=None, lists=None, **more
) -> Verdict:
    """What is detected in a library of `kind` whose files are named against their roles."""
    files = {role: codes for role, codes in library(kind, **more).items() if role not in without}
    paths = [write(folder / f"x_{i}.fastq.gz", files[role]) for i, role in enumerate(sorted(files, reverse=True), 1)]
    return verdict_on(paths, references, lists)
