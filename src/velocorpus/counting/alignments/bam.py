"""Opening alignments: whole BAMs for the compiled reader; SAM and CRAM through htslib (pysam), which is slower."""

from dataclasses import dataclass
from pathlib import Path

import pysam

from velocorpus.errors import UserMistake
from velocorpus.files import existing

# The empty block that ends every complete BAM (SAM specification, section 4.1.2).
_END_OF_BAM = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@dataclass(frozen=True)
class Header:
    """The chromosomes in their order, and a BAM's virtual offset of the first record (block << 16 | byte)."""

    chromosomes: tuple[str, ...]
    first_record: int | None  # None for SAM and CRAM


def check_bam(path: Path | str) -> None:
    """Refuse what is not a whole BAM: another format, or a file that ends without the BAM's last block."""
    path = existing(path, "BAM")
    if path.is_dir():
        raise UserMistake(f"{path} is a folder; give the BAM file.")
    with path.open("rb") as handle:
        start = handle.read(4)
        handle.seek(max(0, path.stat().st_size - len(_END_OF_BAM)))
        end = handle.read()
    if start != _END_OF_BAM[:4]:
        raise UserMistake(f"{path} is not a BAM; convert SAM or CRAM with `samtools view -b -o out.bam {path}`.")
    if end != _END_OF_BAM:
        raise UserMistake(f"{path} is truncated: the block that ends a BAM is missing; copy or make it again.")


def read_header(path: Path | str) -> Header:
    """The header of a BAM, SAM or CRAM; a BAM must be whole (see `check_bam`)."""
    with existing(path, "BAM").open("rb") as handle:
        is_text_or_cram = handle.read(1) != _END_OF_BAM[:1]
    if not is_text_or_cram:
        check_bam(path)
    try:
        with pysam.AlignmentFile(str(path), check_sq=False) as alignments:
            return Header(alignments.references, None if is_text_or_cram else alignments.tell())
    except NotImplementedError:
        raise UserMistake(
            f"{path} is gzip, but not in the blocks of a BAM as htslib knows them; make it again with"
            " `samtools view -b`."
        ) from None
    except (OSError, ValueError) as error:
        raise UserMistake(f"{path} cannot be read as BAM, SAM or CRAM ({error}); copy or make it again.") from None


def tags_found(path: Path | str, tag: str, n_reads: int = 1000) -> tuple[list[str], str]:
    """The tags of the first reads, and a value of `tag`: what a refusal says of them."""
    found: set[str] = set()
    value = ""
    with pysam.AlignmentFile(str(path), check_sq=False) as bam:
        for read in bam.head(n_reads):
            try:
                tags = dict(read.get_tags())
            except (UnicodeDecodeError, OverflowError):  # pysam, of bytes that are no text
                continue
            found |= tags.keys()
            value = value or str(tags.get(tag, ""))
    return sorted(found), value
