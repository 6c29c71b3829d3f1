"""The one pass over the alignments: every read is decoded, matched and set aside by class."""

from collections.abc import Generator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from velocorpus.counting.accounting import (
    MULTIMAPPED,
    N_READ_OUTCOMES,
    NO_ANNOTATION,
    UNLISTED,
    UNMAPPED,
    UNTAGGED,
)
from velocorpus.counting.alignments.bam import Header, tags_found
from velocorpus.counting.alignments.bgzf import Chunk, in_order, read_chunks
from velocorpus.counting.alignments.by_pysam import read_batches
from velocorpus.counting.alignments.reads import ReadBatch, Selection, decode
from velocorpus.counting.classes import Classes
from velocorpus.counting.matching import Matched, Matcher
from velocorpus.counting.spill import Reads, ReadStore
from velocorpus.errors import UserMistake

_FEW_LISTED = 0.1  # of the tagged reads: fewer are told


@dataclass(frozen=True, eq=False)
class Scanned:
    """What the pass has found; the matched reads are in the store."""

    outcomes: np.ndarray  # int64, records by `accounting`
    n_without_nh: int
    classes: Classes


def scan(
    path: Path | str,
    header: Header,
    barcodes: Sequence[str],
    selection: Selection,
    matcher: Matcher,
    store: ReadStore,
    pool: Executor,
    threads: int,
) -> Scanned:
    """Match all reads of a file, in its order, and put the matched ones into `store`."""
    outcomes = np.zeros(N_READ_OUTCOMES, dtype=np.int64)
    n_without_nh = 0
    classes = Classes()

    def work(read: Chunk | ReadBatch) -> tuple[ReadBatch, Matched]:
        batch = as_batch(path, read, header, selection)
        matched = matcher.match(batch)
        if isinstance(read, Chunk):
            read.free()
        return batch, matched

    with closing(read_source(path, header, barcodes, selection, pool, threads)) as source:
        for batch, matched in in_order(pool, work, source, threads):
            outcomes += batch.outcomes
            n_without_nh += batch.n_without_nh
            numbers = classes.add(matched.class_offset, matched.arena)
            store.add(Reads(matched.cell, matched.umi, numbers[matched.class_]))
    return Scanned(outcomes, n_without_nh, classes)


def read_source(
    path: Path | str, header: Header, barcodes: Sequence[str], selection: Selection, pool: Executor, threads: int
) -> Generator[Chunk | ReadBatch]:
    """The file's records in its order: chunks of a BAM, reads of a SAM or CRAM."""
    if header.first_record is None:
        yield from read_batches(path, barcodes, selection)
    else:
        yield from read_chunks(path, header.first_record, pool, threads)


def as_batch(path: Path | str, read: Chunk | ReadBatch, header: Header, selection: Selection) -> ReadBatch:
    """The reads of what `read_source` gives."""
    return decode(path, read, len(header.chromosomes), selection) if isinstance(read, Chunk) else read


def check_reads(path: Path | str, scanned: Scanned, n_listed: int, selection: Selection) -> list[str]:
    """What a user should know of the reads; `UserMistake` where none of them can count."""
    n = scanned.outcomes
    if not n.sum():
        raise UserMistake(f"{path} holds no reads; give the aligned BAM.")
    n_unique = int(n.sum() - n[: MULTIMAPPED + 1].sum())
    n_tagged = n_unique - int(n[UNTAGGED])
    n_of_listed = n_tagged - int(n[UNLISTED])
    if n_unique and not n_tagged:
        tags, _ = tags_found(path, selection.cell_tag)
        raise UserMistake(
            f"{path}: no uniquely mapped read has both tags {selection.cell_tag} and {selection.umi_tag}"
            f" (tags found: {', '.join(tags) or 'none'}); give a BAM with corrected barcodes, as Cell Ranger or"
            " STARsolo write it, or name the tags to take instead."
        )
    if n_tagged and not n_of_listed:
        raise UserMistake(
            f"{path}: of {n_tagged} reads with a barcode none (0 %) has one of the {n_listed} listed barcodes"
            f" (the BAM's are like {tags_found(path, selection.cell_tag)[1]}); give the list of this sample and"
            " chemistry."
        )
    notes = []
    if n_of_listed < _FEW_LISTED * n_tagged:
        notes.append(
            f"only {n_of_listed / n_tagged:.1%} of the reads with a barcode have a listed one:"
            " is it the list of this sample?"
        )
    if scanned.n_without_nh:
        notes.append(f"{scanned.n_without_nh} reads have no NH tag: MAPQ 255 was taken for uniquely mapped")
    if n[NO_ANNOTATION]:
        notes.append(f"{n[NO_ANNOTATION]} reads lie on chromosomes that the GTF does not have")
    if n[UNMAPPED] == n.sum():
        notes.append("not one read is mapped")
    return notes
