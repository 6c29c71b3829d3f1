"""Whether a FASTQ can be read 1 or read 2 of its chemistry, told from the lengths of its first reads.

Swapped reads are not refused by any quantifier: they end hours later in a sample without cells.
"""

from itertools import islice
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.reads.chemistries import chemistry_of

LOOKED_AT = 1000
# A cDNA read must have more than this many bases beyond the barcode read's; aligners ask 30 matching bases or so.
MARGIN = 2


def check_lengths(path: Path | str, name: str, read: int, *, source: str | None = None) -> None:
    """Refuse a FASTQ whose first reads do not fit read `read` (1 or 2) of the chemistry `name`.

    Read 1 holds barcode and UMI: no shorter than both (longer is common). Read 2 holds cDNA: one that is as short as
    barcode and UMI is a read 1. A pair of long reads that are swapped can't be told so; its barcodes then match no
    list. Refused too: what is no FASTQ. `source` is what refusals call the file.
    """
    chemistry, where = chemistry_of(name), source or path
    barcode_read = chemistry.barcode_read_len
    middle = middle_length(path, where)
    if read == 1 and middle < barcode_read:
        raise UserMistake(
            f"{where} is given as read 1 of {name}, which has {barcode_read} bases of barcode and UMI, but its reads "
            f"have {middle}; give the file with the barcodes, or correct the chemistry."
        )
    if read == 2 and middle <= barcode_read + MARGIN:
        raise UserMistake(
            f"{where} is given as read 2 of {name}, the cDNA, but its reads have only {middle} bases, as a barcode "
            "read has: read 1 and read 2 are swapped, or an index read was given; correct the table of units."
        )


def middle_length(path: Path | str, where: Path | str | None = None) -> int:
    """The median length, in bases, of a FASTQ's first reads; `where` is what refusals call the file."""
    lengths = _lengths(path, where or path)
    return sorted(lengths)[len(lengths) // 2]


def _lengths(path: Path | str, where: Path | str) -> list[int]:
    lengths: list[int] = []
    with open_text(path) as lines:
        while record := [line.rstrip("\r\n") for line in islice(lines, 4)]:
            if len(record) < 4 or record[0][:1] != "@" or record[2][:1] != "+" or len(record[1]) != len(record[3]):
                raise UserMistake(
                    f"{where} is not FASTQ: record {len(lengths) + 1} is not four lines (@name, bases, +, qualities)."
                )
            lengths.append(len(record[1]))
            if len(lengths) == LOOKED_AT:
                break
    if not lengths:
        raise UserMistake(f"{where} has no reads; look for another copy of the file.")
    return lengths
