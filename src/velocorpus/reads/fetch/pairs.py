"""Read 1 and read 2 out of one source that holds both: a run of SRA, or a BAM of Cell Ranger.

Which of a run's FASTQs is which, lengths tell where they can, else barcodes on the chemistry's list (`roles.py`).
"""

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from velocorpus.config import FetchConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.chemistries import chemistry_of, whitelist_path
from velocorpus.reads.chemistry.lengths import MARGIN, check_lengths, middle_length
from velocorpus.reads.fetch.bam_to_fastq import bam_to_fastq
from velocorpus.reads.fetch.file import fetch
from velocorpus.reads.fetch.parts import locked
from velocorpus.reads.fetch.sra import SOURCE, accession, dump_run

# SRA numbers the submitter's own files: `possorted_genome_bam.bam.1`.
BAM = re.compile(r"\.bam(\.\d+)?(\?.*)?$")
# Reads looked at when lengths leave it open.
N_READS, WINDOW = 20_000, 200_000


def fetch_pair(
    source: str,
    read1: Path,
    read2: Path,
    *,
    chemistry: str,
    whitelist: Path | None = None,
    md5: str | None = None,
    size: int | None = None,
    how: FetchConfig | None = None,
    threads: int = 1,
    wait_s: float = 1.0,
) -> None:
    """Bring both reads of `source` (`sra:RUN` or a BAM), gzip-compressed and checked against `chemistry`.

    `whitelist`: the sample's own list of barcodes, where it has one. What came so far stays in a hidden folder beside
    `read1` until both have their names. Raises `UserMistake` for a source whose barcode and cDNA reads cannot be told,
    `TryLater` for what another try may mend.
    """
    how = how or FetchConfig()
    if not SOURCE.match(source) and not BAM.search(source):
        raise UserMistake(f"{source} is given for both reads; give two FASTQs, or a BAM or sra:RUN that holds both.")
    with _workshop(read1) as work:
        if SOURCE.match(source):
            made = dump_run(source, work, how=how, threads=threads, wait_s=wait_s)
            files = choose_pair(made, chemistry, source, whitelist)
        else:
            files = work / "R1.fastq.gz", work / "R2.fastq.gz"
            # By its address, so that a table that was corrected meanwhile gets what it says now.
            bam = work / f"{hashlib.sha256(source.encode()).hexdigest()}.bam"
            if not bam.exists() or bam.is_symlink():
                fetch(source, bam, md5=md5, size=size, how=how, wait_s=wait_s)
            kinds = bam_to_fastq(bam, *files, source=source, threads=threads)
            print(f"{source}: {', '.join(f'{n:,} {kind}' for kind, n in kinds.items())}", file=sys.stderr)
        for number, file in enumerate(files, 1):
            check_lengths(file, chemistry, number, source=f"{source} ({file.name})")
        for file, read in zip(files, (read1, read2), strict=True):
            read.parent.mkdir(parents=True, exist_ok=True)
            file.replace(read)


def fetch_run(source: str, folder: Path, *, how: FetchConfig, threads: int = 1, wait_s: float = 1.0) -> None:
    """Bring every FASTQ of a run of SRA into `folder`, to see what there is; other files there stay."""
    with _workshop(folder / accession(source)) as work:
        for file in dump_run(source, work, how=how, threads=threads, wait_s=wait_s):
            file.replace(folder / file.name)


@contextmanager
def _workshop(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out` for one process at a time; another try goes on from it, unless it was refused."""
    work = out.with_name(f".{out.name}.parts")
    lock = work.with_name(f"{work.name}.lock")
    out.parent.mkdir(parents=True, exist_ok=True)
    handle = locked(lock)
    try:
        work.mkdir(exist_ok=True)
        yield work
        shutil.rmtree(work)
    except UserMistake as mistake:
        if not isinstance(mistake, TryLater):
            shutil.rmtree(work)
        raise
    finally:
        lock.unlink(missing_ok=True)
        os.close(handle)


def choose_pair(files: Sequence[Path], chemistry: str, source: str, whitelist: Path | None = None) -> tuple[Path, Path]:
    """Barcode read and cDNA read among the FASTQs of one run; a `UserMistake` when it cannot be told."""
    barcode_len = chemistry_of(chemistry).barcode_read_len
    lengths = {file: middle_length(file) for file in files}
    long = [file for file in files if lengths[file] > barcode_len + MARGIN]
    fitting = [file for file in files if barcode_len <= lengths[file] <= barcode_len + MARGIN]
    if len(long) == len(fitting) == 1:
        return fitting[0], long[0]
    found = ", ".join(f"{file.name} {length}" for file, length in lengths.items())
    if len(long) + len(fitting) < 2:
        raise UserMistake(
            f"{source} has reads of these lengths: {found}; {chemistry} needs one of {barcode_len} or more and cDNA: "
            "technical reads are missing, look for the submitter's own files or a BAM."
        )
    where = f"{source} has reads of these lengths: {found}"
    return _by_content([*fitting, *long], chemistry, whitelist_path(chemistry, whitelist), where)


def _by_content(files: Sequence[Path], chemistry: str, whitelist: Path, where: str) -> tuple[Path, Path]:
    # Imported here, since most fetches need no compiled code.
    from velocorpus.reads.chemistry.barcode_lists import read_list
    from velocorpus.reads.chemistry.detect import look_at
    from velocorpus.reads.chemistry.roles import roles_in

    barcodes = read_list(chemistry, whitelist)
    lane = roles_in(look_at(files, [barcodes], [], n_reads=N_READS, window=WINDOW, seed=0))
    if lane.barcode is None or len(lane.cdna) != 1:
        raise UserMistake(
            f"{where}; which is the barcode read and which the cDNA of {chemistry}, neither lengths nor its list "
            "of barcodes tell: give the two as FASTQs of their own."
        )
    return lane.barcode.sample.path, lane.cdna[0].sample.path
