"""Run tables that are already here: ENA's and NCBI's reports, lists of accessions, other projects' tables of runs.

Told apart by content: tab or comma, with or without a header, quoted or not, plain or gzip. Nothing is looked up, so a
row is worth what it says.
"""

import csv
import re
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.reads.resolve.runs import Run, kind_of, merge, run_of

# A table without a header has run, organism, addresses and what lies there.
HEADERLESS = {"ENAFQ": "fastq_ftp", "SRA": "sra_ftp"}
# By which of its accessions a row of a list is looked up: those that say least about others.
NARROWEST = ("run", "experiment", "gsm", "sra_sample", "biosample", "sra_study", "study", "gse")


def read_table(path: Path | str) -> list[Run]:
    """The runs of a table, in its order; a row may know its experiment only.

    Refused: a table without a column of accessions, a row with more values than columns or without an accession.
    """
    rows = _rows(path)
    if any(kind_of(cell) == "run" for cell in rows[0][1]):
        runs = [(number, run_of(_headerless(path, number, row))) for number, row in rows]
    else:
        header = rows[0][1]
        runs = [(number, run_of(dict(zip(header, row, strict=False)))) for number, row in rows[1:]]
        if not any(run.run or run.experiment for _, run in runs):
            raise UserMistake(
                f"{path} has no column of runs or experiments (its first line: {', '.join(header)[:200]}); give a run "
                "table of ENA or NCBI, or a list of accessions by --list."
            )
    for number, run in runs:
        if not run.run and not run.experiment:
            raise UserMistake(f"{path}, line {number}: no accession of a run or an experiment; mend or remove the row.")
    found: dict[tuple[str, str], Run] = {}
    for _, run in runs:
        key = (run.run, run.experiment)
        found[key] = merge(found[key], run) if key in found and found[key] != run else run
    return list(found.values())


def read_accessions(path: Path | str) -> list[str]:
    """The accessions of each row of a list or table: all of the narrowest kind there. In a list `#` opens a comment."""
    with open_text(path) as lines:
        first = lines.readline()
        listed = [(1, first), *enumerate(lines, 2)]
    rows = listed if first.startswith("#") or not re.search("[\t,]", first) else _rows(path)
    found: dict[str, None] = {}
    for number, row in rows:
        text = row.split("#")[0] if isinstance(row, str) else " ".join(row)
        words = [word for word in re.split(r"[\s,;|]+", text.upper()) if word]
        kinds = [kind_of(word) for word in words]
        narrowest = next((kind for kind in NARROWEST if kind in kinds), "")
        found |= {word: None for word, kind in zip(words, kinds, strict=True) if kind and kind == narrowest}
        if words and not narrowest and number > 1:
            raise UserMistake(f"{path}, line {number}: {text.strip()[:60]!r} names no accession; {allowed()}.")
    if not found:
        raise UserMistake(f"{path} names no accession; {allowed()}.")
    return list(found)


def checked(accession: str) -> str:
    """An accession as archives spell it, or a refusal that says what is allowed."""
    if not kind_of(accession.strip().upper()):
        raise UserMistake(f"'{accession}' is not an accession that can be resolved; {allowed()}.")
    return accession.strip().upper()


def allowed() -> str:
    """The kinds of accession, for a sentence."""
    return (
        "allowed are runs (SRR, ERR, DRR), experiments (SRX …), samples (SRS …, SAM…), studies (SRP …, PRJ…) and "
        "GEO's GSM and GSE"
    )


def _rows(path: Path | str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, with the numbers of their lines."""
    with open_text(path) as text:
        lines = text.read().removeprefix("\ufeff").splitlines(keepends=True)
    if not any(line.strip() for line in lines):
        raise UserMistake(f"{path} is empty; give a run table.")
    delimiter = "\t" if "\t" in lines[0] else ","
    wrong: list[tuple[int, list[str]]] = []
    # ENA's reports are not quoted, so that a title may begin with a quotation mark; other tables may be.
    for quoting in (csv.QUOTE_NONE, csv.QUOTE_MINIMAL):
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
        width = len(rows[0][1])
        wrong = [(n, row) for n, row in rows if any(row[width:]) or (len(row) < width and '"' in "".join(row))]
        if not wrong:
            return [(n, [re.sub(r'^"(.*)"$', r"\1", cell.strip()) for cell in row]) for n, row in rows]
    number, row = wrong[0]
    raise UserMistake(
        f"{path}, line {number}: {len(row)} values for {width} columns; check the table's quotes and tabs."
    )


def _headerless(path: Path | str, number: int, row: list[str]) -> dict[str, str]:
    if len(row) != 4 or kind_of(row[0].strip()) != "run":
        raise UserMistake(
            f"{path}, line {number}: a table without a header has run, organism, addresses, kind (ENAFQ, SRA or BAM); "
            f"found {len(row)} values."
        )
    run, organism, addresses, kind = row
    return {
        "run_accession": run.strip(),
        "scientific_name": organism,
        HEADERLESS.get(kind.strip(), "submitted_ftp"): addresses,
    }
