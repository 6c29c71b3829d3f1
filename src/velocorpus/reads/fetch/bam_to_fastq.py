"""The reads that a BAM of Cell Ranger was made from: `R1` (barcode and UMI) and `R2` (cDNA).

As 10x's bamtofastq does: each primary record once, aligned or not, in the BAM's order; R1 is CR + UR with the
qualities CY + UY, R2 the read as it was sequenced. For the first chemistry, whose reads lie in three files, R1 is put
together in the same way. Not done, and refused: 5' libraries sequenced from both ends, whose R1 goes on into cDNA.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from velocorpus.errors import UserMistake

TAGS = ("CR", "CY", "UR", "UY")
PROGRESS_READS = 5_000_000
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def bam_to_fastq(bam: Path, read1: Path, read2: Path, *, source: str, threads: int = 1) -> Counter[str]:
    """Write the FASTQs of `bam` (`source` in refusals); returns how many records of which kind there were.

    Kinds: `read` (some of them `unmapped`), `secondary` (left out: the same read again), `without raw barcode` (left
    out). Refused: what cannot be read as BAM, one without any read that has raw barcode, UMI and sequence, one with
    mates.
    """
    from isal import igzip_threaded

    kinds: Counter[str] = Counter()
    # Bytes of a record of R1 beside its name: 2 for each base of barcode and UMI.
    n_barcode = 0
    with (
        igzip_threaded.open(read1, "wb", threads=threads) as one,
        igzip_threaded.open(read2, "wb", threads=threads) as two,
    ):
        for record in _records(bam, source, threads):
            if record.is_secondary or record.is_supplementary:
                kinds["secondary"] += 1
                continue
            if record.is_paired:
                raise UserMistake(
                    f"{source} has mates, so its read 1 goes on into cDNA; turn it to FASTQ by 10x's bamtofastq."
                )
            if not record.query_sequence or not all(map(record.has_tag, TAGS)):
                kinds["without raw barcode"] += 1
                continue
            first, second = _fastq(record)
            beside_name = len(first) - len(record.query_name or "")
            n_barcode = n_barcode or beside_name
            if beside_name != n_barcode:
                raise UserMistake(f"{source} has barcodes and UMIs of several lengths, which no quantifier reads.")
            kinds["read"] += 1
            kinds["unmapped"] += record.is_unmapped
            if kinds["read"] % PROGRESS_READS == 0:
                print(f"{source}: {kinds['read']:,} reads", file=sys.stderr, flush=True)
            one.write(first)
            two.write(second)
    if not kinds["read"]:
        raise UserMistake(
            f"{source} has no read with raw barcode, UMI, their qualities ({', '.join(TAGS)}) and sequence, so no "
            "FASTQ can be made of it; count it as it is (quantifier 'bam')."
        )
    return kinds


def _records(bam: Path, source: str, threads: int) -> Iterator[Any]:
    import pysam

    pysam.set_verbosity(0)
    try:
        with pysam.AlignmentFile(str(bam), check_sq=False, threads=threads) as records:
            yield from records
    except (OSError, ValueError) as error:
        raise UserMistake(f"{source} cannot be read as BAM ({error}); look for another copy.") from None


def _fastq(record: Any) -> tuple[bytes, bytes]:
    cr, cy, ur, uy = map(record.get_tag, TAGS)
    bases, quality = record.query_sequence, record.query_qualities_str or ""
    if record.is_reverse:
        bases, quality = bases.translate(COMPLEMENT)[::-1], quality[::-1]
    name = record.query_name
    return f"@{name}\n{cr}{ur}\n+\n{cy}{uy}\n".encode(), f"@{name}\n{bases}\n+\n{quality}\n".encode()
