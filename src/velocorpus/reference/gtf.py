"""A GTF file as transcript models: which exons make up which transcript of which gene, and nothing else.

Only `exon` lines are read. Coordinates stay as in the GTF: 1-based, both ends included. Chromosome names stay as
written; what a counter makes of them (velocyto drops `chr`) is the counter's business.
"""

import array
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.files import open_bytes
from velocorpus.reference.gtf_scan import scan_exons

PLUS, MINUS, NO_STRAND = 1, -1, 0
BLOCK = 1 << 24  # bytes that are read at once
_STRANDS = {b"+": PLUS, b"-": MINUS}
_NUMBER = re.compile("0*[0-9]{1,10}")  # what `isdigit` takes may be no number, or one too long for `int`
_VERSIONED = re.compile(r"(ENS[A-Z]*G\d+)\.(\d+)")


@dataclass(frozen=True, eq=False)
class TranscriptModels:
    """Genes, transcripts and exons of one annotation, as parallel arrays.

    Genes stand in the order in which the GTF first names them. Transcript `t` is on `chromosomes[chromosome[t]]`,
    belongs to gene `gene[t]` and has the exons `exon_offset[t]:exon_offset[t + 1]`, ascending by start. A transcript
    id that stands on two chromosomes or strands is two transcripts.
    """

    gene_ids: tuple[str, ...]
    symbols: tuple[str, ...]
    versions: tuple[str, ...]
    chromosomes: tuple[str, ...]
    transcript_ids: tuple[str, ...]
    gene: np.ndarray  # int32, one a transcript
    chromosome: np.ndarray  # int32, one a transcript
    strand: np.ndarray  # int8: PLUS, MINUS, NO_STRAND
    exon_offset: np.ndarray  # int64, transcripts + 1
    exon_start: np.ndarray  # int32, 1-based
    exon_end: np.ndarray  # int32, included
    exon_number: np.ndarray  # int32, as declared, or counted in the direction of transcription
    warnings: tuple[str, ...] = field(default=())

    def digest(self) -> str:
        """SHA-256 of the canonical models: the same for the same annotation, in whatever order its lines stand."""
        lines = []
        for t, transcript in enumerate(self.transcript_ids):
            exons = slice(self.exon_offset[t], self.exon_offset[t + 1])
            pairs = zip(self.exon_start[exons].tolist(), self.exon_end[exons].tolist(), strict=True)
            lines.append(
                f"{self.chromosomes[self.chromosome[t]]}\t{self.strand[t]}\t{self.gene_ids[self.gene[t]]}\t{transcript}\t"
                + ",".join(f"{start}-{end}" for start, end in pairs)
            )
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_gtf(path: Path | str) -> TranscriptModels:
    """Read the exon lines of a GTF, plain or gzip-compressed.

    Refused: a file without exon lines; an exon line without gene_id or transcript_id, with fewer than nine columns
    or with coordinates that are not 1 ≤ start ≤ end. A gene on several chromosomes or strands, a transcript with
    exons of two genes and exons without a strand are kept as velocyto keeps them, and counted in `warnings`.
    """
    genes: dict[bytes, int] = {}
    symbols: list[str] = []
    versions: list[str] = []
    chromosomes: dict[bytes, int] = {}
    transcripts: dict[tuple[int, int, bytes], int] = {}
    runs = array.array("i")  # transcript and gene of every run of exons
    exons: list[np.ndarray] = []
    n_lines = 0
    with open_bytes(path) as file:
        for text in _whole_lines(file):
            found, spans, n_read, faulty = scan_exons(np.frombuffer(text, dtype=np.uint8))
            if faulty >= 0:
                _refuse(text[faulty : text.index(b"\n", faulty)].decode(), path, n_lines + n_read)
            n_lines += n_read
            found[:, 0] += len(runs) // 2
            exons.append(found)
            for span in spans.tolist():
                name, strand, gene, transcript, symbol, version = (
                    text[a:b] for a, b in zip(span[::2], span[1::2], strict=True)
                )
                bare, of_id = split_version(gene.decode())
                g = genes.setdefault(bare.encode(), len(genes))
                if g == len(symbols):
                    symbols.append(symbol.decode() or bare)
                    versions.append(of_id or version.decode())
                c = chromosomes.setdefault(name, len(chromosomes))
                key = (c, _STRANDS.get(strand, NO_STRAND), transcript)
                runs.extend((transcripts.setdefault(key, len(transcripts)), g))
    if not runs:
        raise UserMistake(
            f"{path} has no exon lines; counting needs a GTF with `exon` in column 3, gene_id and transcript_id."
        )
    run, start, end, number = np.concatenate(exons).T
    transcript_of, gene_of = np.array(runs).reshape(-1, 2)[run].T
    order = np.lexsort((number, end, start, transcript_of))
    strand_of = np.array([strand for _, strand, _ in transcripts], dtype=np.int8)
    chromosome = np.array([c for c, _, _ in transcripts], dtype=np.int32)
    offset = np.searchsorted(transcript_of[order], np.arange(len(transcripts) + 1))
    if (number < 0).any():
        number = _counted_numbers(offset, strand_of)
    else:
        number = number[order]
    # A transcript belongs to the gene of its first exon on the chromosome, as velocyto sees it.
    gene = gene_of[order][offset[:-1]].astype(np.int32)
    ids = tuple(name.decode() for name in genes)
    n_mixed = int((np.bincount(np.unique(np.stack([transcript_of, gene_of]), axis=1)[0]) > 1).sum())
    return TranscriptModels(
        gene_ids=ids,
        symbols=tuple(symbols),
        versions=tuple(versions),
        chromosomes=tuple(name.decode() for name in chromosomes),
        transcript_ids=tuple(name.decode() for _, _, name in transcripts),
        gene=gene,
        chromosome=chromosome,
        strand=strand_of,
        exon_offset=offset.astype(np.int64),
        exon_start=start[order].astype(np.int32),
        exon_end=end[order].astype(np.int32),
        exon_number=number.astype(np.int32),
        warnings=_warnings(ids, gene, chromosome, strand_of, n_mixed),
    )


def split_version(gene_id: str) -> tuple[str, str]:
    """An Ensembl gene id and its version: `ENSG00000141510.18` → (`ENSG00000141510`, `18`); other ids stay whole."""
    match = _VERSIONED.fullmatch(gene_id)
    return (match[1], match[2]) if match else (gene_id, "")


def _warnings(
    ids: tuple[str, ...], gene: np.ndarray, chromosome: np.ndarray, strand: np.ndarray, n_mixed: int
) -> tuple[str, ...]:
    warnings = []
    places = np.unique(np.stack([gene, chromosome, strand]), axis=1)
    several = np.bincount(places[0]) > 1
    if several.any():
        first = ids[gene[several[gene]][0]]
        n_several = int(several.sum())
        warnings.append(f"{n_several} genes are on several chromosomes or strands and share a column (first: {first})")
    if n_mixed:
        warnings.append(f"{n_mixed} transcripts have exons of two genes and are given to the first exon's gene")
    if unstranded := int((strand == NO_STRAND).sum()):
        warnings.append(f"{unstranded} transcripts have no strand and are never matched")
    return tuple(warnings)


def _counted_numbers(offset: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Exon numbers counted along the transcript, for a GTF that does not declare them all."""
    n_exons = np.diff(offset)
    along = np.arange(offset[-1]) - np.repeat(offset[:-1], n_exons) + 1
    return np.where(np.repeat(strand == MINUS, n_exons), np.repeat(n_exons, n_exons) - along + 1, along)


def _whole_lines(file: io.BufferedIOBase) -> Iterator[bytes]:
    """Blocks of whole lines of UTF-8, each line ended by a newline."""
    rest = b""
    while block := file.read(BLOCK):
        lines, newline, rest = (rest + block).rpartition(b"\n")
        if newline:
            yield _checked(lines + newline)
    if rest:
        yield _checked(rest + b"\n")


def _checked(lines: bytes) -> bytes:
    """The lines, if they are UTF-8, with plain newlines."""
    lines.decode()
    return lines.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in lines else lines


def _refuse(line: str, path: Path | str, number: int) -> None:
    """Say what is wrong with a line."""
    fields = line.split("\t")
    if len(fields) < 9:
        raise UserMistake(
            f"{path}, line {number}, has {len(fields)} columns, a GTF has 9 separated by tabs; is it a GTF?"
        )
    for key in ("gene_id", "transcript_id"):
        if not re.search(rf'(?:^|[\s;]){key}\s+"?[^";\s]', fields[8]):
            raise UserMistake(
                f"{path}, line {number}: an exon without {key}; every exon needs gene_id and transcript_id."
            )
    interval(fields[3], fields[4], path, number)


def interval(start: str, end: str, path: Path | str, number: int, what: str = "an exon") -> tuple[int, int]:
    """Start and end of a GTF line; refused unless 1 ≤ start ≤ end."""
    if _NUMBER.fullmatch(start) and _NUMBER.fullmatch(end) and 1 <= int(start) <= int(end) < 2**31:
        return int(start), int(end)
    raise UserMistake(
        f"{path}, line {number}: {what} from {start} to {end}; allowed is 1 ≤ start ≤ end, whole numbers."
    )
