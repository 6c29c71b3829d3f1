"""A GTF file as transcript models: which exons make up which transcript of which gene, and nothing else.

Only `exon` lines are read. Coordinates stay as in the GTF: 1-based, both ends included. Chromosome names stay as
written; what a counter makes of them (velocyto drops `chr`) is the counter's business.
"""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.files import open_text

PLUS, MINUS, NO_STRAND = 1, -1, 0
_STRANDS = {"+": PLUS, "-": MINUS}
_ATTRIBUTE = {
    key: re.compile(rf'(?:^|[\s;]){key}\s+"?([^";]+)"?')
    for key in ("gene_id", "transcript_id", "gene_name", "gene_version", "exon_number")
}
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
    gene_number: dict[str, int] = {}
    symbols: list[str] = []
    versions: list[str] = []
    chromosome_number: dict[str, int] = {}
    transcript_number: dict[tuple[int, int, str], int] = {}
    exons: list[list[tuple[int, int, int]]] = []
    genes_of: list[list[int]] = []
    with open_text(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.startswith("#") or not line.strip():
                continue
            fields = line.rstrip("\r\n").split("\t")
            if len(fields) < 9:
                raise UserMistake(
                    f"{path}, line {number}, has {len(fields)} columns, a GTF has 9 separated by tabs; is it a GTF?"
                )
            if fields[2] != "exon":
                continue
            attributes = fields[8]
            gene_id = _required("gene_id", attributes, path, number)
            transcript_id = _required("transcript_id", attributes, path, number)
            start, end = interval(fields[3], fields[4], path, number)
            bare, version = split_version(gene_id)
            if bare not in gene_number:
                gene_number[bare] = len(gene_number)
                symbols.append(_optional("gene_name", attributes) or bare)
                versions.append(version or _optional("gene_version", attributes) or "")
            chromosome = chromosome_number.setdefault(fields[0], len(chromosome_number))
            key = (chromosome, _STRANDS.get(fields[6], NO_STRAND), transcript_id)
            if key not in transcript_number:
                transcript_number[key] = len(transcript_number)
                exons.append([])
                genes_of.append([])
            declared = _optional("exon_number", attributes)
            exons[transcript_number[key]].append(
                (start, end, int(declared) if declared and declared.strip().isdigit() else -1)
            )
            genes_of[transcript_number[key]].append(gene_number[bare])
    if not exons:
        raise UserMistake(
            f"{path} has no exon lines; counting needs a GTF with `exon` in column 3, gene_id and transcript_id."
        )
    return _pack(gene_number, symbols, versions, chromosome_number, transcript_number, exons, genes_of)


def split_version(gene_id: str) -> tuple[str, str]:
    """An Ensembl gene id and its version: `ENSG00000141510.18` → (`ENSG00000141510`, `18`); other ids stay whole."""
    match = _VERSIONED.fullmatch(gene_id)
    return (match[1], match[2]) if match else (gene_id, "")


def _pack(
    gene_number: dict[str, int],
    symbols: list[str],
    versions: list[str],
    chromosome_number: dict[str, int],
    transcript_number: dict[tuple[int, int, str], int],
    exons: list[list[tuple[int, int, int]]],
    genes_of: list[list[int]],
) -> TranscriptModels:
    keys = list(transcript_number)
    order = [sorted(range(len(e)), key=e.__getitem__) for e in exons]
    flat = [exons[t][i] for t in range(len(keys)) for i in order[t]]
    numbers = np.array([number for _, _, number in flat], dtype=np.int32)
    offset = np.concatenate([[0], np.cumsum([len(e) for e in exons])]).astype(np.int64)
    strand = np.array([key[1] for key in keys], dtype=np.int8)
    if (numbers < 0).any():
        numbers = _counted_numbers(offset, strand)
    # A transcript belongs to the gene of its first exon on the chromosome, as velocyto sees it.
    gene = np.array([genes_of[t][order[t][0]] for t in range(len(keys))], dtype=np.int32)
    places: dict[int, set[tuple[int, int]]] = {}
    for t, key in enumerate(keys):
        places.setdefault(int(gene[t]), set()).add(key[:2])
    several = [g for g, where in places.items() if len(where) > 1]
    mixed = sum(len(set(g)) > 1 for g in genes_of)
    unstranded = int((strand == NO_STRAND).sum())
    ids = list(gene_number)
    warnings = []
    if several:
        warnings.append(
            f"{len(several)} genes are on several chromosomes or strands and share a column (first: {ids[several[0]]})"
        )
    if mixed:
        warnings.append(f"{mixed} transcripts have exons of two genes and are given to the first exon's gene")
    if unstranded:
        warnings.append(f"{unstranded} transcripts have no strand and are never matched")
    return TranscriptModels(
        gene_ids=tuple(ids),
        symbols=tuple(symbols),
        versions=tuple(versions),
        chromosomes=tuple(chromosome_number),
        transcript_ids=tuple(key[2] for key in keys),
        gene=gene,
        chromosome=np.array([key[0] for key in keys], dtype=np.int32),
        strand=strand,
        exon_offset=offset,
        exon_start=np.array([start for start, _, _ in flat], dtype=np.int32),
        exon_end=np.array([end for _, end, _ in flat], dtype=np.int32),
        exon_number=numbers,
        warnings=tuple(warnings),
    )


def _counted_numbers(offset: np.ndarray, strand: np.ndarray) -> np.ndarray:
    """Exon numbers counted along the transcript, for a GTF that does not declare them all."""
    numbers = np.empty(offset[-1], dtype=np.int32)
    for t, direction in enumerate(strand):
        along = np.arange(1, offset[t + 1] - offset[t] + 1)
        numbers[offset[t] : offset[t + 1]] = along[::-1] if direction == MINUS else along
    return numbers


def _required(key: str, attributes: str, path: Path | str, number: int) -> str:
    value = _optional(key, attributes)
    if not value:
        raise UserMistake(f"{path}, line {number}: an exon without {key}; every exon needs gene_id and transcript_id.")
    return value


def _optional(key: str, attributes: str) -> str | None:
    match = _ATTRIBUTE[key].search(attributes)
    return match[1] if match else None


def interval(start: str, end: str, path: Path | str, number: int, what: str = "an exon") -> tuple[int, int]:
    """Start and end of a GTF line; refused unless 1 ≤ start ≤ end."""
    if start.isdigit() and end.isdigit() and 1 <= int(start) <= int(end) < 2**31:
        return int(start), int(end)
    raise UserMistake(
        f"{path}, line {number}: {what} from {start} to {end}; allowed is 1 ≤ start ≤ end, whole numbers."
    )
