"""Write a simulated reference and samples of reads; what the samples truly hold comes back for `truth.h5ad`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus.errors import UserMistake
from velocorpus.files import write_text
from velocorpus.simulate.bam import BAM, GEM_GROUP, write_bam
from velocorpus.simulate.fastq import write_fastqs
from velocorpus.simulate.genome import Genome, make_genome
from velocorpus.simulate.reads import ReadParameters, ReadSet, draw_reads
from velocorpus.simulate.reference_files import (
    FASTA,
    GENE_TABLE,
    GTF,
    WHITELIST,
    write_fasta,
    write_gene_table,
    write_gtf,
)
from velocorpus.simulate.whitelist import make_whitelist

BARCODES = "barcodes.tsv"
N_WHITELIST = 20_000


@dataclass(frozen=True)
class Reference:
    """A genome and the barcodes of its samples."""

    genome: Genome
    whitelist: list[str]

    def draw_barcodes(self, n: int, rng: np.random.Generator) -> list[str]:
        """`n` sorted barcodes of the whitelist."""
        if n > len(self.whitelist) // 2:
            raise UserMistake(f"{n} cells are too many for a whitelist of {len(self.whitelist)} barcodes.")
        return sorted(str(b) for b in rng.choice(self.whitelist, n, replace=False))


@dataclass(frozen=True)
class ReadTruth:
    """What the reads of a sample truly hold.

    `barcodes` without suffix, in the order of the layers' rows; `layers` are CSR int32 (cells, genes): molecules
    with at least one read (ambient ones too), in the class that velocyto's logic ideally gives; `obs` has, per cell,
    `n_ambient` molecules and `n_reads`; `summary` counts over the sample.
    """

    barcodes: list[str]
    layers: dict[str, sparse.csr_matrix]
    obs: pd.DataFrame
    summary: dict[str, int]
    reads: ReadSet


def make_reference(genes: pd.DataFrame, *, rng: np.random.Generator, n_barcodes: int = N_WHITELIST) -> Reference:
    """Draw the genome of `genes` (indexed by gene id, with `symbol`) and a barcode list."""
    return Reference(make_genome(genes, rng=rng), make_whitelist(n_barcodes, rng))


def write_reference(folder: Path | str, reference: Reference) -> None:
    """Write genome.fa.gz, genes.gtf.gz, gene_table.tsv and whitelist.txt."""
    folder = Path(folder)
    write_fasta(folder / FASTA, reference.genome)
    write_gtf(folder / GTF, reference.genome)
    write_gene_table(folder / GENE_TABLE, reference.genome)
    write_text(folder / WHITELIST, "\n".join(reference.whitelist) + "\n")


def write_fastq_sample(
    folder: Path | str,
    reference: Reference,
    layers: Mapping[str, Any],
    *,
    sample: str,
    rng: np.random.Generator,
    barcodes: list[str] | None = None,
    parameters: ReadParameters | None = None,
) -> ReadTruth:
    """Write `{sample}_S1_L00{1,2}_R{1,2}_001.fastq.gz` and barcodes.tsv (the true cells, with -1) into `folder`.

    `layers` are counts (cells, genes) of the three classes, genes in the reference's order; `barcodes` are drawn when
    not given.
    """
    folder = _made(folder)
    reads = _draw(reference, layers, barcodes, parameters, rng)
    write_fastqs(folder, sample, reads, rng)
    return _truth(folder, reads)


def write_bam_sample(
    folder: Path | str,
    reference: Reference,
    layers: Mapping[str, Any],
    *,
    rng: np.random.Generator,
    barcodes: list[str] | None = None,
    parameters: ReadParameters | None = None,
) -> ReadTruth:
    """Write possorted_genome_bam.bam, its .bai and barcodes.tsv (the true cells, with -1) into `folder`."""
    folder = _made(folder)
    reads = _draw(reference, layers, barcodes, parameters, rng)
    write_bam(folder / BAM, reference.genome, reads, rng)
    return _truth(folder, reads)


def _made(folder: Path | str) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _draw(
    reference: Reference,
    layers: Mapping[str, Any],
    barcodes: list[str] | None,
    parameters: ReadParameters | None,
    rng: np.random.Generator,
) -> ReadSet:
    n_cells = next(iter(layers.values())).shape[0]
    return draw_reads(
        reference.genome,
        layers,
        barcodes=reference.draw_barcodes(n_cells, rng) if barcodes is None else barcodes,
        whitelist=reference.whitelist,
        parameters=parameters or ReadParameters(),
        rng=rng,
    )


def _truth(folder: Path, reads: ReadSet) -> ReadTruth:
    cells = reads.barcodes[: reads.n_cells]
    write_text(folder / BARCODES, "".join(f"{barcode}{GEM_GROUP}\n" for barcode in cells))
    in_cell = (reads.barcode >= 0) & (reads.barcode < reads.n_cells)
    obs = pd.DataFrame(
        {
            "n_ambient": np.bincount(reads.cell[reads.ambient], minlength=reads.n_cells)[: reads.n_cells],
            "n_reads": np.bincount(reads.barcode[in_cell], minlength=reads.n_cells),
        },
        index=pd.Index(cells, dtype=object),
    )
    summary = {
        "reads": len(reads.molecule),
        "molecules": len(reads.cell),
        "empty_droplets": len(reads.barcodes) - reads.n_cells,
        "noise_reads": int((reads.molecule < 0).sum()),
        "multimapped_reads": int((~reads.unique).sum()),
    }
    return ReadTruth(cells, reads.layers(), obs, summary, reads)
