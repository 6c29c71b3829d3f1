"""The simulated sample that counters are measured on, and our own counter on it."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pysam

from processes import Run, measured, say
from velocorpus.files import open_text
from velocorpus.reference.gtf import read_gtf

DUMMY = "DUMMY"


@contextmanager
def work_folder(data: Path) -> Iterator[Path]:
    """A folder on the samples' disk for all temporary files, gone at the end."""
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data.resolve(), prefix="work-") as work:
        os.environ["TMPDIR"] = work
        yield Path(work)


@dataclass
class Sample:
    """The files to count, the annotation that all peers get, and the number of records."""

    bam: Path
    gtf: Path
    barcodes: Path
    whitelist: Path
    genome: Path
    n_records: int


def simulated(data: Path, n_reads: int) -> Path:
    """The folder of the simulated sample of so many reads, made when it is not there."""
    folder = data / str(n_reads) / "count_bench"
    if not folder.exists():
        say(f"simulating {n_reads} reads in {folder}")
        command = [*velocorpus(), "simulate", "--preset", "count_bench", "--reads", str(n_reads), "--out"]
        subprocess.run([*command, str(folder.parent)], check=True)
    return folder


def prepared(folder: Path, work: Path) -> Sample:
    """The sample, with an annotation in which velocyto tests every gene: it never tests the last of a strand."""
    bam = folder / "possorted_genome_bam.bam"
    models = read_gtf(folder / "genes.gtf.gz")
    gtf = work / "genes.gtf"
    last = int(models.exon_end.max()) + 100_000
    with open_text(folder / "genes.gtf.gz") as source, gtf.open("w") as target:
        shutil.copyfileobj(source, target)
        for chromosome in models.chromosomes:
            for strand in "+-":
                name = f"{DUMMY}{chromosome}{strand}"
                target.write(
                    f'{chromosome}\tbenchmark\texon\t{last}\t{last + 200}\t.\t{strand}\t.\tgene_id "{name}";'
                    f' gene_name "{name}"; transcript_id "{name}"; transcript_name "{name}"; exon_number "1";\n'
                )
    say(f"{bam}: counting records")
    n_records = int(str(pysam.view("-c", str(bam))))
    barcodes, whitelist, genome = (folder / name for name in ("barcodes.tsv", "whitelist.txt", "genome.fa"))
    return Sample(bam, gtf, barcodes, whitelist, genome, n_records)


def first_records(bam: Path, target: Path, n: int) -> Path:
    """Write the first `n` records of a BAM."""
    with (
        pysam.AlignmentFile(str(bam), "rb") as reads,
        pysam.AlignmentFile(str(target), "wb", template=reads) as out,
    ):
        for read in itertools.islice(reads.fetch(until_eof=True), n):
            out.write(read)
    return target


def velocorpus() -> list[str]:
    """Our command line, run by this Python."""
    return [sys.executable, "-c", "from velocorpus.cli.main import main; main()"]


def our_command(sample: Sample, bam: Path, out: Path, threads: int = 1) -> list[str]:
    files = ["--bam", str(bam), "--gtf", str(sample.gtf), "--barcodes", str(sample.barcodes), "--out", str(out)]
    return [*velocorpus(), "count", *files, "--threads", str(threads)]


def run_ours(sample: Sample, bam: Path, folder: Path, caches: dict[str, str], threads: int = 1) -> Run:
    """`velocorpus count`, the whole process from import to the written file."""
    out = folder / "counts.h5ad"
    wall, cpu, peak, _ = measured(our_command(sample, bam, out, threads), folder, caches)
    return Run(wall, cpu, peak, sample.n_records / wall)
