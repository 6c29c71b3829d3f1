"""What an archive says of one run: accessions, library, read lengths, files. All sources come to this one form."""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import quote

from velocorpus.table_rows import MD5

# Accessions of the three partners of the INSDC (N NCBI, E ENA, D DDBJ) and of GEO.
KINDS = {
    "run": re.compile(r"[SED]RR\d+"),
    "experiment": re.compile(r"[SED]RX\d+"),
    "sra_sample": re.compile(r"[SED]RS\d+"),
    "biosample": re.compile(r"SAM(N|EA|EG|E|D)\d+"),
    "sra_study": re.compile(r"[SED]RP\d+"),
    "study": re.compile(r"PRJ(NA|EB|EA|DB|DA)\d+"),
    "gsm": re.compile(r"GSM\d+"),
    "gse": re.compile(r"GSE\d+"),
}


@dataclass(frozen=True)
class File:
    """One file of an archive. `made_by`: `ena` (FASTQ made from the archive's copy), `submitter`, or `sra`.

    `offline` says why an original file cannot simply be fetched (cold storage, a cloud identity).
    """

    url: str
    name: str
    made_by: str
    md5: str = ""
    bytes: str = ""
    offline: str = ""


@dataclass(frozen=True)
class Run:
    """One run; an empty text is "not said". Lists of accessions or organisms are joined by `;`."""

    run: str = ""
    experiment: str = ""
    biosample: str = ""
    sra_sample: str = ""
    study: str = ""
    sra_study: str = ""
    aliases: str = ""
    organism: str = ""
    tax_id: str = ""
    layout: str = ""
    strategy: str = ""
    source: str = ""
    platform: str = ""
    title: str = ""
    sample_title: str = ""
    study_title: str = ""
    library: str = ""
    protocol: str = ""
    tissue: str = ""
    disease: str = ""
    spots: str = ""
    # Mean bases of each read of a spot, technical reads included, in the archive's order; empty reads are left out.
    read_lengths: tuple[float, ...] = ()
    closed: str = ""
    files: tuple[File, ...] = ()
    # What could not be taken from the source as it stood there.
    remarks: tuple[str, ...] = ()

    @property
    def names(self) -> set[str]:
        """Every accession and alias that this run answers to."""
        found = (self.run, self.experiment, self.biosample, self.sra_sample, self.study, self.sra_study, self.aliases)
        return {name for text in found for name in text.split(";") if name}


def kind_of(accession: str) -> str:
    """The key of `KINDS` that an accession belongs to, or an empty text."""
    return next((kind for kind, form in KINDS.items() if form.fullmatch(accession)), "")


# Names of columns as archives and tables write them, without case and punctuation.
COLUMNS = {
    "organism": ("scientificname", "organism"),
    "tax_id": ("taxid",),
    "layout": ("librarylayout",),
    "strategy": ("librarystrategy", "assaytype"),
    "source": ("librarysource",),
    "platform": ("instrumentplatform", "platform"),
    "title": ("experimenttitle",),
    "sample_title": ("sampletitle",),
    "study_title": ("studytitle",),
    "library": ("libraryname",),
    "protocol": ("libraryconstructionprotocol",),
    "tissue": ("tissuetype", "tissue"),
    "disease": ("disease",),
    "spots": ("readcount", "spots"),
}
# Columns whose values are accessions or aliases; which of them, the value says.
ACCESSION_COLUMN = re.compile(
    r"(?!submission|query)\w*accession|run|experiment|sample|biosample|bioproject|srastudy|srxaccession|"
    r"(experiment|sample|study)alias|samplename|geoaccessionexp"
)


@functools.cache
def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def run_of(row: Mapping[str, str]) -> Run:
    """The run that one row of ENA's report, of a run table or of a table of accessions describes."""
    cells = {_plain(key): " ".join(str(value or "").split()) for key, value in row.items()}
    known: dict[str, Any] = {}
    for column, value in cells.items():
        kind = kind_of(value) if ACCESSION_COLUMN.fullmatch(column) else ""
        if kind in ("gsm", "gse"):
            known["aliases"] = ";".join(sorted({*filter(None, known.get("aliases", "").split(";")), value}))
        elif kind:
            known.setdefault(kind, value)
    for field, columns in COLUMNS.items():
        known[field] = next((cells[column] for column in columns if cells.get(column)), "")
    remarks: list[str] = []
    files = tuple(
        file
        for prefix, made_by in (("fastq", "ena"), ("submitted", "submitter"), ("sra", "sra"))
        for file in _files(cells, prefix, made_by, remarks)
    )
    # NCBI's tables say the layout of single reads only by their mates.
    if not known["layout"] and cells.get("spotswithmates"):
        known["layout"] = "SINGLE" if cells["spotswithmates"] == "0" else "PAIRED"
    closed = "" if cells.get("consent", "public") in ("public", "") else f"access is '{cells['consent']}'"
    return Run(**known, files=files, closed=closed, remarks=tuple(remarks))


def _files(cells: Mapping[str, str], prefix: str, made_by: str, remarks: list[str]) -> Iterable[File]:
    """The files of one group of columns (`fastq_ftp`, `fastq_md5`, `fastq_bytes`), `;` between files."""
    urls = [url for url in cells.get(f"{prefix}ftp", "").split(";") if url.strip()]
    columns = {}
    for column in ("md5", "bytes"):
        values = [value.strip().lower() for value in cells.get(f"{prefix}{column}", "").split(";")]
        if len(values) != len(urls) and any(values):
            remarks.append(f"{len(urls)} {prefix} files have {len(values)} values of {column}, which are left out")
        columns[column] = values if len(values) == len(urls) else [""] * len(urls)
    wrong = [md5 for md5 in columns["md5"] if md5 and not MD5.fullmatch(md5)]
    if wrong:
        remarks.append(f"{', '.join(wrong)}: no MD5 of {prefix} files, left out")
    for url, md5, size in zip(urls, columns["md5"], columns["bytes"], strict=True):
        address = https(url)
        yield File(address, name_of(address), made_by, "" if md5 in wrong else md5, size if size.isdecimal() else "")


def name_of(address: str) -> str:
    """The file's own name: archives append a version (`possorted_genome_bam.bam.1`)."""
    return re.sub(r"\.\d+$", "", address.rsplit("/", 1)[-1])


def https(address: str) -> str:
    """An archive's address as https://, which ENA serves for all that it lists as ftp; a key of S3 stays as it is."""
    address = re.sub(r"^ftp://", "", address.strip())
    if address.startswith("s3://"):
        return address
    return quote(address if "://" in address else f"https://{address}", safe=":/%+@=,~()")


def merge(ena: Run, ncbi: Run) -> Run:
    """One run as both archives know it: ENA's words where it has any, NCBI's read lengths, the files of both."""
    values = {
        field.name: getattr(ena, field.name) or getattr(ncbi, field.name)
        for field in fields(Run)
        if field.name != "run"
    }
    names = {file.name for file in ena.files if not file.offline}
    files = (*ena.files, *(file for file in ncbi.files if file.name not in names))
    aliases = ";".join(sorted({name for one in (ena, ncbi) for name in one.aliases.split(";") if name}))
    return replace(ena, **values | {"files": files, "aliases": aliases, "remarks": ena.remarks + ncbi.remarks})


def natural_key(name: str) -> tuple[str, int, str]:
    """Accessions in the order of their numbers."""
    match = re.fullmatch(r"([A-Z]+)(\d+)", name)
    return (match[1], int(match[2]), "") if match else (name, 0, "")


def natural(names: Iterable[str]) -> list[str]:
    """Accessions, sorted by kind and number."""
    return sorted(names, key=natural_key)
