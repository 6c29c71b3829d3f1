"""Fills the empty chemistries of a table of samples from the reads: a step whose result is committed, never a guess
while the workflow runs.
"""

import sys
from collections.abc import Callable
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import write_text
from velocorpus.reads.chemistry.detect import Verdict
from velocorpus.tables import REMOTE, Sample, Unit, read_rows


def fill_chemistries(samples: Path | str, units: Path | str, verdict_on: Callable[[list[Path]], Verdict]) -> None:
    """Write `samples` anew with the chemistry of every FASTQ sample that has none and whose reads tell it.

    All else of the table stays as it is, byte by byte. Raises `UserMistake` afterwards when samples stay empty, with
    the reason of each.
    """
    text = Path(samples).read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    files: dict[str, list[str]] = {}
    for _, unit in read_rows(Unit, units):
        files.setdefault(unit.sample, []).extend(path for path in (unit.read1, unit.read2) if path)
    column, unclear = None, []
    for number, sample in read_rows(Sample, samples):
        if column is None:
            header = next(line for line in lines if line.strip() and not line.startswith("#"))
            column = [name.strip().lstrip("\ufeff") for name in header.split("\t")].index("chemistry")
        if sample.chemistry or not sample.from_fastq:
            continue
        said = _chemistry(sample, files.get(sample.sample, []), verdict_on)
        if said.chemistry is None:
            unclear.append(f"{sample.sample}: {'; '.join(said.reasons)}")
            continue
        line = lines[number - 1]
        values = line.rstrip("\r\n").split("\t")
        values[column] = said.chemistry
        lines[number - 1] = "\t".join(values) + line[len(line.rstrip("\r\n")) :]
        print(f"{sample.sample}: {said.chemistry} ({'; '.join(said.reasons)})", file=sys.stderr)
    if "".join(lines) != text:
        write_text(samples, "".join(lines))
    if unclear:
        raise UserMistake(f"{samples}: {len(unclear)} chemistries stay empty; {' | '.join(unclear)}.")


def _chemistry(sample: Sample, paths: list[str], verdict_on: Callable[[list[Path]], Verdict]) -> Verdict:
    """The verdict, made unclear where the table must not take it."""
    if not paths:
        reason = "the table of units has no reads of it"
    elif any(REMOTE.match(path) for path in paths):
        reason = "its reads are not on this machine; fetch them and name the local files"
    else:
        found = verdict_on(list(map(Path, paths)))
        if found.state == "unclear":
            return found
        if found.chemistry not in Sample.__dataclass_fields__["chemistry"].metadata["allowed"]:
            reason = f"the reads are {found.library}, which is not quantified here"
        elif found.organism not in (None, sample.organism):
            reason = f"the table says {sample.organism}, but the cDNA is of {found.organism}"
        else:
            return found
    return Verdict("unclear", None, "", (reason,))
