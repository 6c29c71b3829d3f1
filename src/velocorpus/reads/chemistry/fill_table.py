"""Fills the empty chemistries of a table of samples from the reads: a step whose result is committed, never a guess
while the workflow runs.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import existing, replacing
from velocorpus.reads.chemistries import QUANTIFIED
from velocorpus.reads.chemistry.verdict import Verdict
from velocorpus.table_rows import REMOTE, read_rows
from velocorpus.tables import Sample, Unit


def fill_chemistries(samples: Path | str, units: Path | str, verdict_on: Callable[[list[Path]], Verdict]) -> None:
    """Write `samples` anew with the chemistry of every FASTQ sample that has none and whose reads tell it.

    All else of the table stays as it is, byte by byte. Raises `UserMistake` afterwards when samples stay empty, with
    the reason of each.
    """
    files: dict[str, list[str]] = {}
    for _, unit in read_rows(Unit, units):
        files.setdefault(unit.sample, []).extend(dict.fromkeys(path for path in (unit.read1, unit.read2) if path))
    rows = read_rows(Sample, samples)
    text = existing(samples, "table").read_bytes().decode()
    # Ends of lines as the reader of tables sees them, and kept.
    lines = list(io.StringIO(text, newline=""))
    header = next(line for line in lines if line.strip() and not line.startswith("#"))
    column = [name.strip().lstrip("\ufeff") for name in header.split("\t")].index("chemistry")
    stay_empty = []
    for number, sample in rows:
        if sample.chemistry or sample.skip or not sample.from_fastq:
            continue
        try:
            said = _chemistry(sample, files.get(sample.sample, []), verdict_on)
        except UserMistake as mistake:
            stay_empty.append(f"{sample.sample}: {mistake}")
            continue
        line = lines[number - 1].rstrip("\r\n")
        values = line.split("\t")
        values += [""] * (column + 1 - len(values))
        values[column] = str(said.chemistry)
        lines[number - 1] = "\t".join(values) + lines[number - 1][len(line) :]
        print(f"{sample.sample}: {said.chemistry} ({'; '.join(said.reasons)})", file=sys.stderr)
    if "".join(lines) != text:
        with replacing(samples) as aside:
            aside.write_bytes("".join(lines).encode())
    if stay_empty:
        raise UserMistake(f"{samples}: {len(stay_empty)} chemistries stay empty; {' | '.join(stay_empty)}.")


def _chemistry(sample: Sample, paths: list[str], verdict_on: Callable[[list[Path]], Verdict]) -> Verdict:
    """A verdict that the table may take; a `UserMistake` says why it may not."""
    if not paths:
        raise UserMistake("the table of units has no reads of it")
    if any(REMOTE.match(path) for path in paths):
        raise UserMistake("its reads are not on this machine; fetch them and name the local files")
    found = verdict_on(list(map(Path, paths)))
    if found.state == "unclear":
        raise UserMistake("; ".join(found.reasons))
    if found.chemistry not in QUANTIFIED:
        raise UserMistake(f"the reads are {found.chemistry} ({found.library}), which is not quantified here")
    if found.organism not in (None, sample.organism):
        raise UserMistake(f"the table says {sample.organism}, but the cDNA is of {found.organism}")
    return found
