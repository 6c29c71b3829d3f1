"""Small BAMs and GTFs made by code, and velocyto run on them for real."""

import gzip
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pysam

from velocorpus.counting.count import count_bam
from velocorpus.counting.rules import VELOCYTO_NAMES
from velocorpus.counting.velocyto import NOTHING_COMPILED
from velocorpus.reference.gtf import read_gtf, split_version

DUMMY = "DUMMY"
# velocyto looks at the first thousand tagged reads before it believes in the tags.
N_PADDING = 1100


@dataclass
class ReadSpec:
    """One alignment; `position` is 1-based. A tag of None is left out."""

    position: int
    cigar: str
    barcode: str | None = "AAAACCCC"
    umi: str | None = "AAAA"
    chromosome: str = "1"
    minus: bool = False
    nh: int | None = 1
    mapq: int = 255
    unmapped: bool = False
    flags: int = 0
    more: dict[str, str] = field(default_factory=dict)


def write_bam(path: Path, reads: Sequence[ReadSpec], chromosomes: Sequence[str] = ("1", "2")) -> Path:
    """Write reads sorted by position, as velocyto wants them."""
    order = sorted(reads, key=lambda r: (r.unmapped, chromosomes.index(r.chromosome), r.position))
    header = {"HD": {"VN": "1.6"}, "SQ": [{"SN": name, "LN": 100_000_000} for name in chromosomes]}
    with pysam.AlignmentFile(str(path), "wb", header=header) as bam:
        for i, spec in enumerate(order):
            read = pysam.AlignedSegment(bam.header)
            read.query_name = f"r{i}"
            read.flag = spec.flags | (16 if spec.minus else 0) | (4 if spec.unmapped else 0)
            if not spec.unmapped:
                read.reference_id = chromosomes.index(spec.chromosome)
                read.reference_start = spec.position - 1
                read.cigarstring = spec.cigar
            read.mapping_quality = spec.mapq
            for tag, value in (("NH", spec.nh), ("CB", spec.barcode), ("UB", spec.umi), *spec.more.items()):
                if value is not None:
                    read.set_tag(tag, value)
            bam.write(read)
    return path


def padding(barcode: str = "AAAACCCC", chromosome: str = "2") -> list[ReadSpec]:
    """Enough tagged reads outside all genes for velocyto to start."""
    return [ReadSpec(50_000_000 + i, "50M", barcode, "CCCC", chromosome) for i in range(N_PADDING)]


def barcodes_of(bam: Path) -> list[str]:
    """Every barcode of a BAM, without its suffix, in the order of appearance (STAR's `-` is none)."""
    with pysam.AlignmentFile(str(bam), "rb", check_sq=False) as reads:
        tags = (read.get_tag("CB") for read in reads.fetch(until_eof=True) if read.has_tag("CB"))
        return list(dict.fromkeys(tag.split("-")[0] for tag in tags if tag != "-"))


def gtf_line(
    gene: str, transcript: str, start: int, end: int, number: int, strand: str = "+", chromosome: str = "1"
) -> str:
    return (
        f"{chromosome}\ttest\texon\t{start}\t{end}\t.\t{strand}\t.\t"
        f'gene_id "{gene}"; transcript_id "{transcript}"; exon_number "{number}"; gene_name "{gene.lower()}";\n'
    )


def transcript_lines(
    gene: str, transcript: str, exons: Sequence[tuple[int, int]], strand: str = "+", chromosome: str = "1"
) -> str:
    """The exon lines of one transcript, numbered in the direction of transcription."""
    numbers = range(1, len(exons) + 1) if strand == "+" else range(len(exons), 0, -1)
    return "".join(
        gtf_line(gene, transcript, start, end, number, strand, chromosome)
        for (start, end), number in zip(sorted(exons), numbers, strict=True)
    )


def velocyto_counts(
    folder: Path,
    bam: Path,
    gtf: Path,
    barcodes: Sequence[str],
    genes: Sequence[str],
    logics: Sequence[str],
    mask: Path | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Dense counts (barcodes × genes) by logic and layer, from velocyto itself in a process of its own.

    One dummy gene per chromosome and strand is put behind the last one, which velocyto never tests.
    """
    folder.mkdir()
    (folder / "reads.bam").write_bytes(bam.read_bytes())
    raw = gtf.read_bytes()
    text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    for name in read_gtf(gtf).chromosomes:
        for strand in "+-":
            text += gtf_line(
                f"{DUMMY}{name}{strand}", f"{DUMMY}T{name}{strand}", 2_000_000_000, 2_000_000_100, 1, strand, name
            )
    (folder / "genes.gtf").write_text(text)
    (folder / "barcodes.tsv").write_text("\n".join(barcodes) + "\n")
    script = """
import sys
from velocyto.commands._run import _run
mask = sys.argv[1] or None
for logic in sys.argv[2:]:
    _run(bamfile=("reads.bam",), gtffile="genes.gtf", bcfile="barcodes.tsv", outputfolder="out", sampleid=logic,
         metadatatable=None, repmask=mask, onefilepercell=False, logic=logic, without_umi=False, umi_extension="no",
         multimap=False, test=False, samtools_threads=1, samtools_memory=500, loom_numeric_dtype="uint32", dump="0",
         verbose=0)
"""
    chosen = [VELOCYTO_NAMES[logic] for logic in logics]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1", **NOTHING_COMPILED}
    done = subprocess.run(
        [sys.executable, "-c", script, str(mask.resolve() if mask else ""), *chosen],
        cwd=folder, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return {logic: _dense(folder / "out" / f"{VELOCYTO_NAMES[logic]}.loom", barcodes, genes) for logic in logics}


def assert_equals_velocyto(tmp_path, bam, gtf, barcodes, logics=("permissive10x",), at_least=1):
    """Count by both; equal in every cell, gene and layer, and not of nothing."""
    models = read_gtf(gtf)
    theirs = velocyto_counts(tmp_path / "velocyto", bam, gtf, barcodes, models.gene_ids, logics)
    for logic in logics:
        ours = count_bam(bam, models, barcodes, logic=logic)
        for layer, matrix in ours.layers.items():
            assert np.array_equal(matrix.toarray(), theirs[logic][layer]), f"{logic}, {layer}: {ours.qc}"
        if logic == "permissive10x":
            assert sum(int(matrix.sum()) for matrix in ours.layers.values()) >= at_least


def _dense(loom_path: Path, barcodes: Sequence[str], genes: Sequence[str]) -> dict[str, np.ndarray]:
    import loompy

    row = {barcode.split("-")[0]: i for i, barcode in enumerate(barcodes)}
    column = {gene: i for i, gene in enumerate(genes)}
    counts = {}
    with loompy.connect(str(loom_path), mode="r", validate=False) as loom:
        rows = [row[cell.split(":")[1].rstrip("x").split("-")[0]] for cell in loom.ca["CellID"]]
        names = [split_version(gene)[0] for gene in loom.ra["Accession"]]
        kept = [i for i, name in enumerate(names) if not name.startswith(DUMMY)]
        for layer in ("spliced", "unspliced", "ambiguous"):
            counts[layer] = np.zeros((len(barcodes), len(genes)), dtype=np.int64)
            values = loom.layers[layer][:, :][kept].T
            counts[layer][np.ix_(rows, [column[names[i]] for i in kept])] = values
    return counts
