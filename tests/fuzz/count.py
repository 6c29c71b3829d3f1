"""Damaged inputs against `velocorpus count`: each is refused in a sentence, or read as htslib reads it.

    python -m tests.fuzz.count --cases 100000 --seed 0 [--seconds 900]

Cases are made from the seed and their number, and run in child processes, so that a crash or a hang is its case's own.
One batch in four runs with numba's bounds checks. Prints a row a kind of input and outcome; fails when the
interpreter died, a case hung, anything but a `UserMistake` that names the file was raised, or reads differed from
those of the pysam twin. `--case N` runs one case alone, `--keep FILE` leaves its input.
"""

import argparse
import gzip
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import closing
from pathlib import Path
from random import Random

import numpy as np
import pysam
from tests.fuzz import material, mutate

from velocorpus.counting.alignments import bgzf
from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.alignments.by_pysam import read_batches
from velocorpus.counting.alignments.reads import ReadBatch, Selection, decode
from velocorpus.counting.barcodes import barcode_table, read_barcodes
from velocorpus.counting.count import count_bam
from velocorpus.counting.features import build_features
from velocorpus.counting.mask import no_mask, read_mask
from velocorpus.counting.matching import Matcher
from velocorpus.errors import UserMistake
from velocorpus.files import cache_folder
from velocorpus.reference.gtf import read_gtf

BATCH = 5_000
BOUNDS_EVERY = 4
HANGS_AFTER_S = 60
COMPILES_WITHIN_S = 900
KINDS = ("records",) * 12 + ("blocks",) * 4 + ("header", "gtf", "mask", "barcodes")
AGREE, REFUSED, STRICTER, WRONG = "read as htslib", "refused", "refused, htslib reads it", "WRONG"


class Inline(Executor):
    """Does its work at once: no threads to switch between."""

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Bench:
    """What all cases of a process share: models, features, a pool and a folder."""

    def __init__(self, folder: Path) -> None:
        self.bam, self.text = folder / "reads.bam", folder / "lines.txt"
        gtf = folder / "genes.gtf"
        gtf.write_text(material.GTF)
        self.models = read_gtf(gtf)
        self.features = build_features(self.models)
        self.pool = Inline()
        self.table = barcode_table(material.BARCODES)
        pool = Random(0)
        self.records = [material.random_record(pool) for _ in range(400)]

    def run(self, kind: str, rng: Random) -> str:
        """Make one input and read it; what came of it, in words."""
        if kind in ("gtf", "mask", "barcodes"):
            return self.read_text(kind, rng)
        self.write_bam(kind, rng)
        # Chunks of few blocks, and next to no room for what is carried over: the rare paths.
        bgzf._BLOCKS_A_CHUNK, bgzf._HEADROOM = rng.choice((1, 2, 64)), rng.choice((0, 50, 1 << 16))
        tags = rng.choice((("CB", "UB"),) * 4 + (("CR", "GX"), ("CB", "CB")))
        selection = Selection(*self.table, *tags, rng.random() < 0.3, rng.random() < 0.3)
        ours, refusal = _tried(self.bam, lambda: self.compiled(selection))
        if refusal.startswith(WRONG):
            return refusal
        theirs, their_refusal = _tried(self.bam, lambda: together(read_batches(self.bam, material.BARCODES, selection)))
        if ours is None:
            return f"{REFUSED if theirs is None else STRICTER}: {refusal}"
        if theirs is None:
            return f"{WRONG}: read, but htslib: {their_refusal}"
        unequal = [name for name in ours if not np.array_equal(ours[name], theirs[name])]
        if unequal:
            return f"{WRONG}: {', '.join(unequal)} differ from htslib's"
        if rng.random() < 0.02:
            _, refusal = _tried(self.bam, lambda: self.counted(rng))
            if refusal.startswith(WRONG):
                return refusal
        return AGREE

    def write_bam(self, kind: str, rng: Random) -> None:
        records = rng.choices(self.records, k=rng.choice((1, 3, 10, 40)))
        head = material.header()
        if kind == "records":
            data = head + mutate.damage_records(records, rng)
        elif kind == "header":
            data = mutate.damage_header(head, rng) + b"".join(records)
        else:
            data = head + b"".join(records)
        parts = material.blocks(data, rng)
        file = mutate.damage_blocks(parts, rng) if kind == "blocks" else b"".join(parts) + material.EOF_BLOCK
        self.bam.write_bytes(file)

    def compiled(self, selection: Selection) -> dict[str, np.ndarray]:
        header = read_header(self.bam)
        assert header.first_record is not None, "a BAM was taken for something else"
        chromosome_of = np.arange(len(header.chromosomes), dtype=np.int32) % len(self.features.chromosomes)
        matcher = Matcher(self.features, chromosome_of, no_mask(2 * len(self.features.chromosomes)))

        def batches() -> Iterator[ReadBatch]:
            with closing(bgzf.read_chunks(self.bam, header.first_record or 0, self.pool, 1)) as chunks:
                for chunk in chunks:
                    batch = decode(self.bam, chunk, len(header.chromosomes), selection)
                    n = batch.outcomes.copy()
                    matcher.match(batch)
                    batch.outcomes[:] = n
                    yield batch

        return together(batches())

    def counted(self, rng: Random) -> None:
        counts = count_bam(self.bam, self.models, material.BARCODES, reads_in_memory=rng.choice((1, 10**6)))
        assert sum(counts.qc["reads"].values()) == counts.qc["n_reads"], "a read has no outcome"

    def read_text(self, kind: str, rng: Random) -> str:
        lines = "".join(f"{barcode}-1\n" for barcode in material.BARCODES) if kind == "barcodes" else material.GTF
        data = mutate.damage_text(lines, rng)
        if rng.random() < 0.2:
            data = gzip.compress(data, 1)
            data = mutate.flip(data, rng) if rng.random() < 0.5 else data[: rng.randrange(len(data) + 1)]
        self.text.write_bytes(data)

        def read() -> None:
            if kind == "gtf":
                build_features(read_gtf(self.text))
            elif kind == "mask":
                read_mask(
                    self.text, self.features.chromosomes, exact_names=rng.random() < 0.5, whole=rng.random() < 0.5
                )
            else:
                barcode_table(read_barcodes(self.text))

        _, refusal = _tried(self.text, read)
        return refusal if refusal.startswith(WRONG) else f"{REFUSED}: {refusal}" if refusal else "read"


def together(batches: Iterator[ReadBatch]) -> dict[str, np.ndarray]:
    """All reads of some batches; their CIGARs as one array of uint32."""
    joined: dict[str, list[np.ndarray]] = {name: [] for name in ("chromosome", "position", "minus", "cell", "umi")}
    operations, n_operations = [np.empty(0, np.uint8)], [np.empty(0, np.int32)]
    outcomes, n_without_nh = np.zeros(1, np.int64), 0
    for batch in batches:
        for name, columns in joined.items():
            columns.append(getattr(batch, name))
        n_operations.append(batch.n_operations)
        for at, n in zip(batch.cigar_at.tolist(), batch.n_operations.tolist(), strict=True):
            assert 0 <= at <= at + 4 * n <= batch.bytes.size, "a CIGAR outside its chunk"
            operations.append(batch.bytes[at : at + 4 * n])
        outcomes = outcomes + batch.outcomes
        n_without_nh += batch.n_without_nh
    return {name: np.concatenate((np.empty(0, np.int64), *columns)) for name, columns in joined.items()} | {
        "cigar": np.concatenate(operations), "n_operations": np.concatenate(n_operations),
        "outcomes": outcomes + np.zeros(13, np.int64), "n_without_nh": np.array(n_without_nh),
    }  # fmt: skip


def _tried(path: Path, work):  # type: ignore[no-untyped-def]
    """What `work` gives, or None and why not."""
    try:
        return work(), ""
    except UserMistake as mistake:
        what = str(mistake)
        if str(path) not in what:
            return None, f"{WRONG}: a refusal that does not name the file: {what}"
        what = re.sub(r"'[^']*'|\"[^\"]*\"", "'…'", what.replace(str(path), "FILE"))
        what = re.sub(r"\(.*\)|(?<= from ).* to .*?(?=; allowed)", "…", what)
        what = re.sub(r"the (?:end of the )?block (?:before|at) byte \d+(?:, \d+ bytes into it)?", "PLACE", what)
        return None, re.sub(r"-?\d[\d,.]*", "N", what)[:160]
    except Exception as error:
        return None, f"{WRONG}: {type(error).__name__}: {error}"


def run_cases(first: int, end: int, seed: int, keep: Path | None) -> None:
    """A child's work: one line a case on stdout, as soon as it has ended."""
    pysam.set_verbosity(0)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        bench = Bench(Path(folder))
        for kind in sorted(set(KINDS)):  # compiles what is not cached
            bench.run(kind, Random(0))
        _tried(bench.bam, lambda: bench.counted(Random(0)))
        print("ready", flush=True)
        for case in range(first, end):
            rng = Random(f"{seed}/{case}")
            kind = rng.choice(KINDS)
            outcome = bench.run(kind, rng)
            print(f"{kind}\t{outcome}".replace("\n", " "), flush=True)
        if keep is not None:
            made = bench.text if kind in ("gtf", "mask", "barcodes") else bench.bam
            keep.write_bytes(made.read_bytes())


def watch(first: int, end: int, seed: int, bounds: bool, keep: Path | None = None) -> Iterator[tuple[int, str, str]]:
    """Run cases in a child; each one's number, kind and outcome. The one in which it dies or hangs is the last."""
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.fuzz.count", "--child", str(first), str(end)]
    command += ["--seed", str(seed), *(["--keep", str(keep)] if keep else [])]
    environment = dict(os.environ)
    if bounds:
        environment |= {"NUMBA_BOUNDSCHECK": "1", "VELOCORPUS_CACHE": str(cache_folder() / "bounds_checked")}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
    case, rest, started = first, b"", False
    try:
        assert child.stdout is not None
        while case < end:
            ready, _, _ = select.select([child.stdout], [], [], HANGS_AFTER_S if started else COMPILES_WITHIN_S)
            more = os.read(child.stdout.fileno(), 1 << 16) if ready else None
            if not more:
                died = f"the interpreter died ({child.wait()})" if more is not None else "it hung"
                yield case, "?", f"{WRONG}: {died}"
                return
            *lines, rest = (rest + more).split(b"\n")
            for line in lines[not started :]:
                kind, outcome = line.decode().split("\t", 1)
                yield case, kind, outcome
                case += 1
            started |= bool(lines)
    finally:
        child.kill()
        child.communicate()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after about this long")
    parser.add_argument("--bounds-every", type=int, default=BOUNDS_EVERY, help="0: never; 1: always")
    parser.add_argument("--case", type=int, help="run this case alone")
    parser.add_argument("--keep", type=Path, help="write the last case's input here")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.child:
        run_cases(*given.child, given.seed, given.keep)
        return 0
    if given.case is not None:
        given.first, given.cases = given.case, 1
    tally: Counter[tuple[str, str]] = Counter()
    wrong = []
    case, end, began = given.first, given.first + given.cases, time.monotonic()
    while case < end and time.monotonic() < began + given.seconds:
        bounds = given.bounds_every > 0 and case // BATCH % given.bounds_every == 0
        stop = min(end, (case // BATCH + 1) * BATCH)
        with closing(watch(case, stop, given.seed, bounds, given.keep)) as outcomes:
            for case, kind, outcome in outcomes:
                tally[kind, outcome] += 1
                if outcome.startswith(WRONG):
                    wrong.append(case)
                    print(f"case {case}{' (bounds checked)' if bounds else ''}, {kind}: {outcome}", flush=True)
                if time.monotonic() > began + given.seconds:
                    break
        case += 1
    for (kind, outcome), n in sorted(tally.items()):
        print(f"{n:8} {kind:9} {outcome}")
    print(f"{tally.total()} cases, seed {given.seed}: {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
