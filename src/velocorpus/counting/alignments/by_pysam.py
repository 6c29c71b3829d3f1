"""The reads of a SAM, a CRAM or a BAM by htslib (pysam): plain and slow.

It is what reads SAM and CRAM, and the twin that the tests hold the compiled reader of `reads` against.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import pysam

from velocorpus.counting.accounting import (
    FLAGGED,
    MULTIMAPPED,
    N_READ_OUTCOMES,
    ODD_UMI,
    UNLISTED,
    UNMAPPED,
    UNTAGGED,
)
from velocorpus.counting.alignments.reads import FLAGS_ASIDE, UNIQUE_MAPQ, ReadBatch, Selection
from velocorpus.counting.barcodes import pack_text
from velocorpus.errors import UserMistake

BATCH_READS = 16_384
# Flag, chromosome, position, mapping quality, CIGAR and tags: so that a CRAM needs no genome to be read.
_FIELDS = "required_fields=0x83e"


def read_batches(path: Path | str, barcodes: Sequence[str], selection: Selection) -> Generator[ReadBatch]:
    """The reads that may count, in batches; `barcodes` are those of `selection`. `UserMistake` for a broken file."""
    cell_of = {barcode: i for i, barcode in enumerate(barcodes)}
    try:
        with pysam.AlignmentFile(str(path), check_sq=False, format_options=[_FIELDS]) as alignments:
            reads: list[pysam.AlignedSegment] = []
            for read in alignments.fetch(until_eof=True):
                reads.append(read)
                if len(reads) == BATCH_READS:
                    yield _batch(reads, cell_of, selection)
                    reads = []
            if reads:
                yield _batch(reads, cell_of, selection)
    except (OSError, ValueError) as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"{path} cannot be read to its end ({error}); copy or make it again.") from None


def _batch(reads: list[pysam.AlignedSegment], cell_of: dict[str, int], selection: Selection) -> ReadBatch:
    outcomes = np.zeros(N_READ_OUTCOMES, dtype=np.int64)
    n_without_nh = 0
    rows: list[tuple[int, int, bool, int, int, int, int, int]] = []
    operations: list[int] = []
    for read in reads:
        if read.is_unmapped or read.reference_id < 0:
            outcomes[UNMAPPED] += 1
            continue
        if read.has_tag("NH"):
            unique = _value(read, "NH") == 1
        else:
            n_without_nh += 1
            unique = read.mapping_quality == UNIQUE_MAPQ
        cell, umi = (_text(read, tag) for tag in (selection.cell_tag, selection.umi_tag))
        bare = "" if cell is None else cell.split("-")[0]
        place = cell_of.get(bare, -1) if cell_of else 0
        molecule = 0 if umi is None else _packed(umi)
        if selection.skip_flagged and read.flag & FLAGS_ASIDE:
            outcomes[FLAGGED] += 1
        elif not unique:
            outcomes[MULTIMAPPED] += 1
        elif cell is None or umi is None:
            outcomes[UNTAGGED] += 1
        elif place < 0:
            outcomes[UNLISTED] += 1
        elif not _is_printable(cell) or not _is_printable(umi):
            raise ValueError("a barcode or UMI with a byte that is no printable character")
        elif selection.skip_odd_umis and molecule < 0:
            outcomes[ODD_UMI] += 1
        else:
            cigar = read.cigartuples or ()
            rows.append(
                (read.reference_id, read.reference_start + 1, read.is_reverse, place, _packed(bare), molecule,
                 4 * len(operations), len(cigar))
            )  # fmt: skip
            operations += [length << 4 | operation for operation, length in cigar]
    table = np.array(rows, dtype=np.int64).reshape(-1, 8)
    return ReadBatch(
        chromosome=table[:, 0].astype(np.int32),
        position=table[:, 1].astype(np.int32),
        minus=table[:, 2].astype(bool),
        cell=table[:, 3].astype(np.int32),
        barcode=table[:, 4].copy(),
        umi=table[:, 5].copy(),
        cigar_at=table[:, 6].copy(),
        n_operations=table[:, 7].astype(np.int32),
        bytes=np.array(operations, dtype="<u4").view(np.uint8),
        outcomes=outcomes,
        n_without_nh=n_without_nh,
    )


def _text(read: pysam.AlignedSegment, tag: str) -> str | None:
    value = _value(read, tag) if read.has_tag(tag) else None
    return value if isinstance(value, str) else None


def _value(read: pysam.AlignedSegment, tag: str) -> object:
    try:
        return read.get_tag(tag)
    except UnicodeDecodeError as error:
        return error.object.decode("latin-1")
    except OverflowError:  # pysam, of a single character over 127
        return "\0"


def _is_printable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _packed(text: str) -> int:
    letters = np.frombuffer(text.encode(), dtype=np.uint8)
    return int(pack_text(letters, 0, letters.size))
