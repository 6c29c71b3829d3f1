"""samples.tsv, units.tsv and references.tsv: typed, frozen rows, all checked before any job starts.

A sample is one library: one row, one `counts.h5ad`. Its units are its files: lanes or runs of FASTQ pairs, one BAM, or
one set of counts, as its quantifier asks. A reference is a FASTA and a GTF. Each mistake is one sentence that names
the file, the row, the column, what was found and what is allowed. Lean on purpose (csv, no pandas): Snakemake reads
these tables anew in every job that it starts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.table_rows import REMOTE, column, nearest, read_rows

# Counts that are one file, which hosts may have compressed once more.
FETCHED_COUNTS = re.compile(r"\.(loom|h5ad)(?:\.gz)?$")
# A quantifier reads FASTQ pairs (`read1`, `read2`) or one file (`path`).
READS_FROM_FASTQ = ("kb", "starsolo", "cellranger")


@dataclass(frozen=True)
class Sample:
    """One library. An empty text means "not given"."""

    sample: str = column("Name of the library; becomes part of every cell's id and file name.", "name", filled=True)
    study: str = column("Name of the study; splits and velocity targets are made per study.", "name", filled=True)
    organism: str = column("Species.", filled=True, allowed=names.ORGANISMS)
    quantifier: str = column(
        "What makes the counts; `bam` counts a given tagged BAM, `import` reads counts of another tool.",
        filled=True,
        allowed=names.QUANTIFIERS,
    )
    reference: str = column("A row of references.tsv; may be empty for `import` only.", "name", required=True)
    chemistry: str = column(
        "Chemistry of the library; may be empty for `bam` and `import`.",
        required=True,
        allowed=names.CHEMISTRIES,
    )
    count_engine: str = column(
        "What counts this sample's BAM; empty: `quantify.count_engine` of the configuration.",
        allowed=names.COUNT_ENGINES,
    )
    whitelist: str = column(
        "File of the barcodes that the chemistry allows; empty: 10x's list, which there is for all but `10xv3_5p`.",
        "path",
    )
    barcodes: str = column("File of the barcodes that are cells; empty: the quantifier calls cells.", "path")
    genes: str = column(
        "Table of Ensembl ids and symbols for `import` (10x's features.tsv will do); empty: the genes of `reference`.",
        "path",
    )
    cell_type: str = column("Column of the imported `obs` that names the cell type.")
    truth: str = column("truth.h5ad of a simulated sample: counts and velocities are judged by it.", "path")
    same_reads_as: str = column(
        "Another sample with the same reads: the two are compared, and this one stays out of the corpus.",
        "name",
    )
    skip: str = column("Why this sample is to be left out for now; it stays in the table and in the list of samples.")
    tissue: str = column("Tissue.")
    donor: str = column("Donor or animal.")
    suspension_type: str = column("Cells or nuclei: decisive for velocity.", allowed=names.SUSPENSION_TYPES)
    disease: str = column("Disease or `normal`.")
    experiment: str = column("Accession of the experiment, e.g. SRX.")
    run: str = column("Accession of the run or runs, e.g. SRR.")
    biosample: str = column("Accession of the biosample, e.g. SAMN.")
    title: str = column("What the archive calls it.")
    intron_mode: str = column(
        "Whether another tool's counts include introns, for `import`.", allowed=("yes", "no", "unknown")
    )

    @property
    def from_fastq(self) -> bool:
        """Whether the sample's units are FASTQ pairs."""
        return self.quantifier in READS_FROM_FASTQ

    @property
    def in_corpus(self) -> bool:
        """Whether the sample's cells belong to the corpus; a second count of the same reads does not."""
        return not self.same_reads_as


@dataclass(frozen=True)
class Unit:
    """One run or lane of a sample (a FASTQ pair), or its one BAM or set of counts."""

    sample: str = column("A row of samples.tsv.", "name", filled=True)
    unit: str = column("Name of the lane, run or file, unique within its sample.", "name", filled=True)
    read1: str = column(
        "FASTQ with barcodes and UMIs (`kb`, `starsolo`, `cellranger`). `sra:RUN` or a BAM in both reads holds both.",
        "path",
    )
    read2: str = column("FASTQ with cDNA.", "path")
    path: str = column(
        "BAM (`bam`), or loom, h5ad (or .gz of it) or folder of another tool's counts (`import`).", "path"
    )
    read1_md5: str = column("MD5 of `read1`, checked after fetching.", "md5")
    read2_md5: str = column("MD5 of `read2`.", "md5")
    path_md5: str = column("MD5 of `path`.", "md5")
    read1_bytes: str = column("Size of `read1`, or of the whole run for `sra:`.", "bytes")
    read2_bytes: str = column("Size of `read2`; empty for `sra:`.", "bytes")
    path_bytes: str = column("Size of `path`.", "bytes")
    note: str = column("What to know of these files, as `velocorpus resolve` found it.")


@dataclass(frozen=True)
class Reference:
    """A genome and its genes."""

    reference: str = column("Name of the reference.", "name", filled=True)
    organism: str = column("Species.", filled=True, allowed=names.ORGANISMS)
    fasta: str = column(
        "Genome, FASTA, plain or gzip; may be empty when only `bam` and `import` samples use the reference.",
        "path",
    )
    gtf: str = column("Genes, GTF, plain or gzip.", "path", filled=True)
    fasta_md5: str = column("MD5 of `fasta`.", "md5")
    gtf_md5: str = column("MD5 of `gtf`.", "md5")
    biotypes: str = column("Which genes are kept: 10x's biotype filter (the default) or all.", allowed=("10x", "all"))
    offset: str = column(
        "CHROMOSOME:BASES for a FASTA that holds a piece: bases of the chromosome before its first one.",
        "offset",
    )


Row = TypeVar("Row", Sample, Unit, Reference)


@dataclass(frozen=True)
class Tables:
    """The three tables, checked against each other; every mapping keeps the order of its file."""

    samples: Mapping[str, Sample]
    units: Mapping[str, tuple[Unit, ...]]
    references: Mapping[str, Reference]

    @property
    def corpus_samples(self) -> tuple[str, ...]:
        """The samples whose cells belong to the corpus, in the order of samples.tsv."""
        return tuple(name for name, sample in self.samples.items() if sample.in_corpus)

    @property
    def studies(self) -> tuple[str, ...]:
        """The studies of the corpus, in the order of samples.tsv."""
        return tuple(dict.fromkeys(self.samples[name].study for name in self.corpus_samples))

    def samples_of(self, study: str) -> tuple[str, ...]:
        """The corpus samples of one study."""
        return tuple(name for name in self.corpus_samples if self.samples[name].study == study)

    def groups(self, size: int) -> dict[str, tuple[str, ...]]:
        """Shard groups: `size` consecutive corpus samples each, so that a sample added below changes the last only."""
        members = self.corpus_samples
        return {f"g{i // size:05d}": members[i : i + size] for i in range(0, len(members), size)}


def load_tables(
    samples: Path | str, units: Path | str, references: Path | str, *, made_here: Iterable[str] = ()
) -> Tables:
    """Read and check the three tables.

    `made_here`: folders whose files the workflow makes itself (a simulation), so their paths need not exist yet.
    Raises `UserMistake` at the first mistake.
    """
    made = tuple(f"{folder.rstrip('/')}/" for folder in made_here)
    sample_rows = _unique(samples, read_rows(Sample, samples, made), "sample")
    reference_rows = _unique(references, read_rows(Reference, references, made), "reference")
    unit_rows: dict[str, list[Unit]] = {name: [] for name in sample_rows}
    for number, unit in read_rows(Unit, units, made):
        if unit.sample not in unit_rows:
            raise UserMistake(
                f"{units}, line {number}, column 'sample': '{unit.sample}' is not in {samples}"
                f"{nearest(unit.sample, sample_rows)}; add it there or remove this row."
            )
        _check_unit(units, number, unit, sample_rows[unit.sample][1], unit_rows[unit.sample])
        unit_rows[unit.sample].append(unit)
    for number, sample in sample_rows.values():
        _check_sample(samples, number, sample, sample_rows, reference_rows)
        if not unit_rows[sample.sample]:
            raise UserMistake(
                f"{samples}, line {number}: sample '{sample.sample}' has no row in {units}; add its files there."
            )
    return Tables(
        samples={name: sample for name, (_, sample) in sample_rows.items()},
        units={name: tuple(rows) for name, rows in unit_rows.items()},
        references={name: reference for name, (_, reference) in reference_rows.items()},
    )


def _check_unit(table: Path | str, number: int, unit: Unit, sample: Sample, before: list[Unit]) -> None:
    where = f"{table}, line {number}"
    if any(unit.unit == other.unit for other in before):
        raise UserMistake(
            f"{where}, column 'unit': '{unit.unit}' stands twice for sample '{unit.sample}'; give each its own name."
        )
    wanted, unwanted = (("read1", "read2"), ("path",)) if sample.from_fastq else (("path",), ("read1", "read2"))
    for name in wanted:
        if not getattr(unit, name):
            raise UserMistake(
                f"{where}, column '{name}': empty, but sample '{sample.sample}' has the quantifier "
                f"'{sample.quantifier}', which needs {' and '.join(wanted)}."
            )
    for name in unwanted:
        if getattr(unit, name):
            raise UserMistake(
                f"{where}, column '{name}': sample '{sample.sample}' has the quantifier '{sample.quantifier}', "
                f"which reads only {' and '.join(wanted)}; leave it empty."
            )
    if REMOTE.match(unit.path) and (
        unit.path.startswith("sra:") or (sample.quantifier == "import" and not FETCHED_COUNTS.search(unit.path))
    ):
        raise UserMistake(
            f"{where}, column 'path': '{unit.path}' cannot be fetched for the quantifier '{sample.quantifier}'; give "
            "one BAM for 'bam', one .loom or .h5ad (or .gz of it) for 'import', or the path of a folder that is here."
        )
    if before and not sample.from_fastq:
        raise UserMistake(
            f"{where}: sample '{sample.sample}' already has a file; the quantifier '{sample.quantifier}' takes one."
        )


def _check_sample(
    table: Path | str,
    number: int,
    sample: Sample,
    samples: Mapping[str, tuple[int, Sample]],
    references: Mapping[str, tuple[int, Reference]],
) -> None:
    where = f"{table}, line {number}"
    if not sample.reference and sample.quantifier != "import":
        raise UserMistake(
            f"{where}, column 'reference': empty; the quantifier '{sample.quantifier}' needs one of "
            f"{', '.join(references)}."
        )
    if sample.reference and sample.reference not in references:
        raise UserMistake(
            f"{where}, column 'reference': '{sample.reference}' is not in the table of references"
            f"{nearest(sample.reference, references)}; known are {', '.join(references)}."
        )
    if sample.reference and references[sample.reference][1].organism != sample.organism:
        raise UserMistake(
            f"{where}: the organism is '{sample.organism}', but its reference '{sample.reference}' is of "
            f"'{references[sample.reference][1].organism}'."
        )
    if sample.from_fastq and not references[sample.reference][1].fasta:
        raise UserMistake(
            f"{where}: the quantifier '{sample.quantifier}' needs a genome, but the reference '{sample.reference}' has "
            "no 'fasta' in the table of references; give one."
        )
    if not sample.chemistry and sample.from_fastq:
        raise UserMistake(
            f"{where}, column 'chemistry': empty; the quantifier '{sample.quantifier}' needs one of "
            f"{', '.join(names.CHEMISTRIES)}."
        )
    if sample.from_fastq and not sample.skip:
        _check_chemistry(where, sample)
    other = samples.get(sample.same_reads_as)
    if sample.same_reads_as and (other is None or other[1].same_reads_as or other[1] is sample):
        raise UserMistake(
            f"{where}, column 'same_reads_as': '{sample.same_reads_as}' must be another sample of this table that is "
            "itself in the corpus."
        )


def _check_chemistry(where: str, sample: Sample) -> None:
    """Refuse reads that no quantifier could take, before anything runs."""
    if sample.chemistry in names.UMI_APART:
        raise UserMistake(
            f"{where}, column 'chemistry': reads of {sample.chemistry} have their UMIs in a third file, for which the "
            "table of units has no column; give Cell Ranger's BAM (quantifier 'bam'), or counts (quantifier 'import')."
        )
    if sample.chemistry in names.LIST_NOT_CARRIED and not sample.whitelist:
        raise UserMistake(
            f"{where}, column 'whitelist': empty, but kb-python brings no list of {sample.chemistry} along; give 10x's "
            f"own, {names.LIST_NOT_CARRIED[sample.chemistry]} in lib/python/cellranger/barcodes of Cell Ranger."
        )


def _unique(table: Path | str, rows: list[tuple[int, Row]], key: str) -> dict[str, tuple[int, Row]]:
    found: dict[str, tuple[int, Row]] = {}
    for number, row in rows:
        name = getattr(row, key)
        if name in found:
            raise UserMistake(
                f"{table}, line {number}: the {key} '{name}' stands already in line {found[name][0]}; names are unique."
            )
        found[name] = (number, row)
    return found
