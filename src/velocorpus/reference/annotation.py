"""Lines of a GTF as records, and the choice of genes that 10x's references make.

A line keeps its own bytes except for GENCODE's `gene_id "ENSG….5"`, which becomes `gene_id "ENSG…";
gene_version "5"` as in Ensembl's files and 10x's own references: later steps join by the id without version.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.files import open_text

# Biotypes that 10x's references keep: `cellranger mkgtf` up to 3.0.0 (lincRNA, antisense) and the build notes
# of 2020-A and 2024-A (lncRNA, immune genes and their pseudogenes) together, so that old and new GTFs work.
BIOTYPES_10X = frozenset(
    ["protein_coding", "lncRNA", "lincRNA", "antisense"]
    + [f"IG_{part}_gene" for part in ("C", "D", "J", "LV", "V")]
    + [f"TR_{part}_gene" for part in ("C", "D", "J", "V")]
    + [f"IG_{part}_pseudogene" for part in ("C", "J", "V")]
    + [f"TR_{part}_pseudogene" for part in ("J", "V")]
)

# Transcripts that do not make a gene 10x-like: they fuse two genes, or stand a second time on chromosome Y.
TAGS_DROPPED = frozenset({"readthrough_transcript", "PAR"})

_ATTRIBUTE = re.compile(r'(\w+)\s+(?:"([^"]*)"|([^\s;]+))')
_VERSIONED = re.compile(r'gene_id "(ENS[A-Z]*G\d{11})\.(\d+)"')


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a GTF. `start` and `end` are 1-based, both included; `tags` holds every value of `tag`."""

    line: str
    chromosome: str
    feature: str
    start: int
    end: int
    strand: str
    attributes: dict[str, str]
    tags: tuple[str, ...]

    @property
    def gene_id(self) -> str:
        """The gene id without version."""
        return self.attributes["gene_id"]

    @property
    def biotype(self) -> str:
        """`gene_biotype` (Ensembl) or `gene_type` (GENCODE); empty when the GTF says neither."""
        return self.attributes.get("gene_biotype") or self.attributes.get("gene_type") or ""

    @property
    def transcript_biotype(self) -> str:
        """The same for the transcript."""
        return self.attributes.get("transcript_biotype") or self.attributes.get("transcript_type") or ""


def read_records(path: Path | str) -> Iterator[Record]:
    """Every line of a GTF, plain or gzip-compressed, that is not a comment.

    Raises `UserMistake`, with the line's number, for a line without nine columns, integer coordinates, or
    a `gene_id` (a GFF3, say).
    """
    with open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            if line.startswith("#") or not line.strip():
                continue
            yield _record(line.rstrip("\r\n"), f"{path}, line {number}")


def _record(line: str, where: str) -> Record:
    columns = line.split("\t")
    if len(columns) != 9:
        raise UserMistake(f"{where} has {len(columns)} tab-separated columns, a GTF has 9; is it a GTF?")
    line = _VERSIONED.sub(r'gene_id "\1"; gene_version "\2"', line)
    columns[8] = line.rsplit("\t", 1)[1]
    attributes: dict[str, str] = {}
    tags = []
    for key, quoted, bare in _ATTRIBUTE.findall(columns[8]):
        if key == "tag":
            tags.append(quoted or bare)
        else:
            attributes.setdefault(key, quoted or bare)
    if not attributes.get("gene_id"):
        raise UserMistake(
            f"{where} has no gene_id attribute; give a GTF (a GFF3 must be converted, e.g. by gffread -T)."
        )
    if not (columns[3].isdigit() and columns[4].isdigit() and 0 < int(columns[3]) <= int(columns[4])):
        raise UserMistake(f"{where} has no valid start and end ({columns[3]}, {columns[4]}).")
    return Record(line, columns[0], columns[2], int(columns[3]), int(columns[4]), columns[6], attributes, tuple(tags))


def is_10x_transcript(record: Record) -> bool:
    """Whether a transcript counts for a 10x reference, which keeps a gene of the right biotype that has one
    such.

    Its own biotype must be among `BIOTYPES_10X`, where it is given, and it must have no dropped tag.
    """
    return (
        not record.transcript_biotype or record.transcript_biotype in BIOTYPES_10X
    ) and not TAGS_DROPPED.intersection(record.tags)
