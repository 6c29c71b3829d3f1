"""A tagged BAM as arrays: where each usable read lies, and of which cell and molecule it is.

What a read must be to be usable is velocyto's: mapped; to one place (NH = 1, or MAPQ 255 where the aligner wrote no
NH); with a cell barcode and a UMI tag; the barcode on the list; spanning at most 3 Mb. Flags for secondary,
supplementary, duplicate or failed reads are not looked at. Every other read is counted under one reason.
"""

import array
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pysam

from velocorpus.counting.features import Features, fold_bam_name
from velocorpus.errors import UserMistake
from velocorpus.files import existing, open_text

# The empty block that ends every complete BAM (SAM specification, section 4.1.2).
_END_OF_BAM = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
LONGEST_SPAN = 3_000_000
PATCHED_INDEL = 3  # an insertion or deletion up to this length does not split a segment
# CIGAR operations as BAM numbers them.
_MATCH, _INSERTION, _DELETION, _SKIP, _SOFT_CLIP = 0, 1, 2, 3, 4
_SAME, _DIFFERENT = 7, 8
_ACGT = str.maketrans("ACGT", "0123")
_NOT_ACGT = re.compile("[^ACGT]")
_BARCODE = re.compile(r"[ACGTN]+(-\d+)?")

# Why a read was not used, in the order of asking.
UNMAPPED, MULTIMAPPED, UNTAGGED, NOT_LISTED = "unmapped", "multimapped", "without_cell_or_umi", "barcode_not_listed"
LONG_SPAN, NO_ANNOTATION = "span_over_3mb", "chromosome_not_in_gtf"
REASONS = (UNMAPPED, MULTIMAPPED, UNTAGGED, NOT_LISTED, LONG_SPAN, NO_ANNOTATION)


@dataclass(frozen=True, eq=False)
class Alignments:
    """Usable reads as parallel arrays, and every distinct CIGAR once.

    Read `r` starts at `position[r]` (1-based), on group `group[r]` of the features (chromosome and strand), with CIGAR
    `cigar[r]`. Segment `s` of CIGAR `c`, for s in `segment_offset[c]:segment_offset[c + 1]`, covers
    `position + segment_first[s] .. position + segment_last[s]`. UMIs are packed two bits a base.
    """

    group: np.ndarray  # int32
    position: np.ndarray  # int32
    cigar: np.ndarray  # int32
    cell: np.ndarray  # int32, index into `barcodes`
    umi: np.ndarray  # int64
    segment_offset: np.ndarray  # int64
    segment_first: np.ndarray  # int32
    segment_last: np.ndarray  # int32
    spliced: np.ndarray  # bool, one a CIGAR: it skips reference (N)
    barcodes: tuple[str, ...]
    n_records: int
    unused: dict[str, int]
    notes: tuple[str, ...]


def segments_of(cigar: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], bool]:
    """The aligned segments of a CIGAR, relative to the read's position, and whether it skips reference.

    As velocyto has it: insertions and deletions up to 3 bases between two matches are patched; longer deletions
    split; a soft clip moves what follows it, so a read with a leading clip of 10 lies 10 bases downstream of where it
    aligned. Unlike velocyto, which has no segments for them and stops, `=` and `X` are matches; an insertion or
    deletion before the first match is not patched.
    """
    segments: list[tuple[int, int]] = []
    patched: list[int] = []
    skips = False
    at = 0
    for i, (operation, length) in enumerate(cigar):
        if operation in (_MATCH, _SAME, _DIFFERENT):
            if i and _is_match(cigar[i - 1]) and (cigar[i - 1][0], operation) != (_MATCH, _MATCH):
                segments[-1] = (segments[-1][0], at + length - 1)
            else:
                segments.append((at, at + length - 1))
            at += length
        elif operation in (_INSERTION, _DELETION):
            between = 0 < i < len(cigar) - 1 and _is_match(cigar[i - 1]) and _is_match(cigar[i + 1])
            if length <= PATCHED_INDEL and between:
                patched.append(len(segments) - 1)
            at += length if operation == _DELETION else 0
        elif operation == _SKIP:
            skips = True
            at += length
        elif operation == _SOFT_CLIP:
            at += length
    for i in reversed(patched):
        segments[i : i + 2] = [(segments[i][0], segments[i + 1][1])]
    return segments, skips


def read_barcodes(path: Path | str) -> tuple[str, ...]:
    """The listed barcodes without their `-1`, in the order of the list (plain or gzip, first column).

    Refused: an empty list, something that is no barcode, a barcode twice, and a list of several libraries, in which
    two barcodes differ only in their suffix (velocyto would add them up).
    """
    with open_text(path) as lines:
        listed = [line.split()[0] for line in lines if line.strip()]
    if not listed:
        raise UserMistake(f"{path} lists no barcodes; give one barcode a line.")
    for number, barcode in enumerate(listed, start=1):
        if not _BARCODE.fullmatch(barcode):
            raise UserMistake(
                f"{path}, line {number}: '{barcode}' is not a barcode; give one a line, of A, C, G and T."
            )
    bare = tuple(barcode.split("-")[0] for barcode in listed)
    if len(set(bare)) < len(bare):
        twice = Counter(bare).most_common(1)[0][0]
        raise UserMistake(
            f"{path} lists {len(bare) - len(set(bare))} barcodes twice (first: {twice}), suffixes like -1 aside;"
            " list each once, and count every library by itself."
        )
    return bare


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


def read_alignments(
    path: Path | str,
    features: Features,
    barcodes: Sequence[str] | None,
    *,
    cell_tag: str = "CB",
    umi_tag: str = "UB",
    threads: int = 1,
) -> Alignments:
    """Read the usable alignments of a BAM in any order; without `barcodes` every barcode is a cell.

    Refused: a truncated or broken file, a BAM none of whose chromosomes is in the GTF, one without the tags, and one
    in which no tagged read has a listed barcode.
    """
    check_bam(path)
    try:
        with pysam.AlignmentFile(str(path), "rb", check_sq=False, threads=max(1, threads)) as bam:
            groups = _groups(path, bam.references, features)
            return _scan(path, bam, groups, barcodes, cell_tag, umi_tag)
    except (OSError, ValueError) as error:
        if isinstance(error, UserMistake):
            raise
        raise UserMistake(f"{path} cannot be read as BAM ({error}); copy or make it again.") from None


def _is_match(element: tuple[int, int]) -> bool:
    return element[0] in (_MATCH, _SAME, _DIFFERENT)


def _groups(path: Path | str, references: Sequence[str], features: Features) -> list[int]:
    """Per reference of the BAM its plus-strand group, or -1."""
    groups = [2 * features.chromosomes.get(fold_bam_name(name), -1) for name in references]
    if references and max(groups) < 0:
        raise UserMistake(
            f"{path}: none of its {len(references)} chromosomes ({', '.join(references[:3])}, ...) is in the GTF"
            f" ({', '.join(list(features.chromosomes)[:3])}, ...); give the GTF of the genome it was aligned to"
            " (a `chr` before the name does not matter)."
        )
    return [max(group, -1) for group in groups]


def _scan(
    path: Path | str,
    bam: pysam.AlignmentFile,
    groups: list[int],
    barcodes: Sequence[str] | None,
    cell_tag: str,
    umi_tag: str,
) -> Alignments:
    listed = None if barcodes is None else set(barcodes)
    cell_number = {barcode: i for i, barcode in enumerate(barcodes or ())}
    cell_of_tag: dict[str, int] = {}
    cigar_number: dict[str, int] = {}
    cigars: list[tuple[list[tuple[int, int]], bool]] = []
    too_long: list[bool] = []
    odd_umis: dict[str, int] = {}
    umi_code: dict[str, int] = {}
    group, position, cigar, cell, umi = (array.array(code) for code in "iiiiq")
    unused = dict.fromkeys(REASONS, 0)
    n_records = n_tagged = n_without_nh = 0
    tags_seen: Counter[str] = Counter()
    for read in bam.fetch(until_eof=True):
        n_records += 1
        if n_records <= 1000:
            tags_seen.update(tag for tag, _ in read.get_tags())
        if read.is_unmapped:
            unused[UNMAPPED] += 1
            continue
        try:
            unique = read.get_tag("NH") == 1
        except KeyError:
            n_without_nh += 1
            unique = read.mapping_quality == 255
        if not unique:
            unused[MULTIMAPPED] += 1
            continue
        try:
            tag, molecule = str(read.get_tag(cell_tag)), str(read.get_tag(umi_tag))
        except KeyError:
            unused[UNTAGGED] += 1
            continue
        n_tagged += 1
        c = cell_of_tag.get(tag)
        if c is None:
            bare = tag.split("-")[0]
            if listed is None:
                c = cell_number.setdefault(bare, len(cell_number))
            else:
                c = cell_number.get(bare, -1)
            cell_of_tag[tag] = c
        if c < 0:
            unused[NOT_LISTED] += 1
            continue
        text = read.cigarstring or ""
        k = cigar_number.get(text)
        if k is None:
            k = cigar_number[text] = len(cigars)
            cigars.append(segments_of(read.cigartuples or ()))
            covered = cigars[-1][0]
            too_long.append(not covered or covered[-1][1] - covered[0][0] + 1 > LONGEST_SPAN)
        if too_long[k]:
            unused[LONG_SPAN] += 1
            continue
        plus = groups[read.reference_id]
        if plus < 0:
            unused[NO_ANNOTATION] += 1
            continue
        u = umi_code.get(molecule)
        if u is None:
            u = umi_code[molecule] = _pack_umi(molecule, odd_umis)
        group.append(plus + read.is_reverse)
        position.append(read.reference_start + 1)
        cigar.append(k)
        cell.append(c)
        umi.append(u)
    if n_records == 0:
        raise UserMistake(f"{path} holds no reads; give the aligned BAM.")
    mapped_once = n_records - unused[UNMAPPED] - unused[MULTIMAPPED]
    if mapped_once and not n_tagged:
        found = ", ".join(sorted(tags_seen)) or "none"
        raise UserMistake(
            f"{path}: no uniquely mapped read has both tags {cell_tag} and {umi_tag} (tags found: {found});"
            " give a BAM with corrected barcodes, as Cell Ranger or STARsolo write it."
        )
    n_listed = n_tagged - unused[NOT_LISTED]
    notes = []
    if listed is not None and n_tagged:
        if not n_listed:
            raise UserMistake(
                f"{path}: of {n_tagged} reads with a barcode none (0 %) has one of the {len(listed)} listed barcodes"
                f" (the BAM's are like {next(iter(cell_of_tag))}); give the list of this sample and chemistry."
            )
        if n_listed < 0.1 * n_tagged:
            notes.append(f"only {n_listed / n_tagged:.1%} of the reads with a barcode have a listed one")
    if n_without_nh:
        notes.append(f"{n_without_nh} reads have no NH tag: MAPQ 255 was taken for uniquely mapped")
    if unused[NO_ANNOTATION]:
        notes.append(f"{unused[NO_ANNOTATION]} reads lie on chromosomes that the GTF does not have")
    sizes = [len(segments) for segments, _ in cigars]
    flat = [segment for segments, _ in cigars for segment in segments]
    return Alignments(
        group=np.array(group, dtype=np.int32),
        position=np.array(position, dtype=np.int32),
        cigar=np.array(cigar, dtype=np.int32),
        cell=np.array(cell, dtype=np.int32),
        umi=np.array(umi, dtype=np.int64),
        segment_offset=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        segment_first=np.array([first for first, _ in flat], dtype=np.int32),
        segment_last=np.array([last for _, last in flat], dtype=np.int32),
        spliced=np.array([skips for _, skips in cigars], dtype=bool),
        barcodes=tuple(cell_number),
        n_records=n_records,
        unused=unused,
        notes=tuple(notes),
    )


def _pack_umi(umi: str, odd: dict[str, int]) -> int:
    """A UMI as a number, two bits a base behind a leading 1; UMIs with N or over 30 bases get negative numbers."""
    if len(umi) > 30 or _NOT_ACGT.search(umi):
        return -1 - odd.setdefault(umi, len(odd))
    return int("1" + umi.translate(_ACGT), 4)
