"""A run of the Sequence Read Archive as FASTQs, technical reads included, by NCBI's sra-tools.

The archive's own file comes from its open bucket on S3 (in parallel and resumed, `fetch.py`), else by `prefetch`;
`vdb-validate` checks it, `fasterq-dump --include-technical --split-files` writes one FASTQ for each read of a spot,
and those are compressed and counted: every read of a spot or none.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from velocorpus.config import FetchConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch.file import fetch
from velocorpus.reads.fetch.verify import Damaged

SOURCE = re.compile(r"sra:([SED]RR\d+)")
BUCKET = "s3://sra-pub-run-odp/sra/{run}/{run}"
BLOCK = 1 << 22


def dump_run(source: str, folder: Path, *, how: FetchConfig, threads: int, wait_s: float = 1.0) -> list[Path]:
    """The FASTQs of `source` (`sra:SRR…`) in `folder`: `{run}_1.fastq.gz` and so on, in the archive's order.

    `folder` holds the run's file too, so that another call goes on from there. Raises `UserMistake` for a run that
    has fewer than two reads a spot (its barcodes were not deposited as reads) or whose reads do not pair, `TryLater`
    for what broke on the way.
    """
    run = accession(source)
    for tool in ("vdb-validate", "fasterq-dump"):
        if shutil.which(tool) is None:
            raise UserMistake(f"{source}: {tool} is not installed; install sra-tools 3 (envs/sra.yaml).")
    archive = folder / run
    if not archive.exists():
        _bring(run, archive, how, wait_s)
    dumped = folder / "dumped"
    shutil.rmtree(dumped, ignore_errors=True)
    # Absolute: a bare name would be taken for an accession and asked for over the network.
    words = ["fasterq-dump", "--include-technical", "--split-files", "--threads", str(threads)]
    words += ["--temp", str(dumped.absolute()), "--outdir", str(dumped.absolute()), str(archive.absolute())]
    _call(words, how)
    plain = sorted(dumped.glob("*.fastq"), key=lambda file: (len(file.name), file.name))
    if len(plain) < 2:
        raise UserMistake(
            f"{source} has {len(plain)} read a spot, so no barcodes: its technical reads were not deposited; look for "
            "the submitter's own files (velocorpus resolve lists them) or a BAM."
        )
    made = [(folder / f"{file.name}.gz", _compress(file, folder / f"{file.name}.gz", threads)) for file in plain]
    if len({lines for _, lines in made}) > 1 or made[0][1] % 4:
        counts = ", ".join(f"{file.name} {lines // 4:,}" for file, lines in made)
        raise UserMistake(f"{source} has reads without mates ({counts} reads), so reads and barcodes would not pair.")
    return [file for file, _ in made]


def accession(source: str) -> str:
    """The run that `sra:RUN` names, or a refusal."""
    match = SOURCE.fullmatch(source)
    if not match:
        raise UserMistake(f"{source} is not sra:RUN with the accession of a run, e.g. sra:SRR9264343.")
    return match[1]


def _bring(run: str, archive: Path, how: FetchConfig, wait_s: float) -> None:
    def check(path: Path) -> None:
        _call(["vdb-validate", str(path.absolute())], how, damage=f"{run} as it came")

    try:
        fetch(BUCKET.format(run=run), archive, how=how, wait_s=wait_s, check=check)
    except UserMistake as mistake:
        if shutil.which("prefetch") is None:
            raise
        print(f"{mistake} prefetch is asked.", file=sys.stderr, flush=True)
        aside = archive.with_name(f"{run}.prefetched")
        # Without a size prefetch leaves out what is larger than 20 GB, and says so in a line only.
        words = ["prefetch", run, "--max-size", "u", "--verify", "yes", "--output-file", str(aside.absolute())]
        try:
            _call(words, how)
        except UserMistake as prefetched:
            raise TryLater(f"{mistake} Nor did it come by prefetch: {prefetched}") from None
        check(aside)
        aside.replace(archive)


def _call(words: list[str], how: FetchConfig, damage: str = "") -> None:
    """Run a tool; its words go to the log, the last of them into the refusal."""
    proxy = {"http_proxy": how.proxy, "https_proxy": how.proxy} if how.proxy else {}
    print(f"{words[0]} begins; what it says follows when it ends", file=sys.stderr, flush=True)
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | proxy, check=False)
    print(done.stdout + done.stderr, end="", file=sys.stderr, flush=True)
    if done.returncode == 0:
        return
    said = " ".join((done.stderr or done.stdout).split()[-40:]) or "nothing"
    if damage:
        raise Damaged(f"{damage} is damaged; {words[0]} says: {said}")
    if re.search(r"disk|space|storage", said):
        raise TryLater(f"{words[0]} found no room: {said}; make room and run again.")
    raise TryLater(f"{words[0]} ended with code {done.returncode} and said: {said}; run again later.")


def _compress(plain: Path, out: Path, threads: int) -> int:
    """Compress `plain` to `out` and remove it; returns its number of lines."""
    from isal import igzip_threaded

    lines = 0
    with plain.open("rb") as source, igzip_threaded.open(out, "wb", threads=threads) as target:
        while block := source.read(BLOCK):
            lines += block.count(b"\n")
            target.write(block)
    plain.unlink()
    return lines
