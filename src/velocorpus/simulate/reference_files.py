"""FASTA, GTF, gene table and barcode list of a simulated genome; equal genomes give equal bytes."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from velocorpus import names
from velocorpus.files import replacing
from velocorpus.simulate.genome import Genome

FASTA = "genome.fa.gz"
GTF = "genes.gtf.gz"
GENE_TABLE = "gene_table.tsv"
WHITELIST = "whitelist.txt"
LINE = 60
GTF_HEAD = "#!genome-build simulated"


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write `content`, compressed when `path` ends with .gz (no name, no time: equal content is equal bytes)."""
    with replacing(path) as aside:
        if str(path).endswith(".gz"):
            content = gzip.compress(content, compresslevel=6, mtime=0)
        aside.write_bytes(content)


def write_fasta(path: Path | str, genome: Genome) -> None:
    """Write the chromosomes in Ensembl's style, 60 bases a line."""
    write_bytes(path, b"".join(fasta_pieces(genome)))


def fasta_pieces(genome: Genome) -> list[bytes]:
    """The text of `write_fasta` in pieces."""
    pieces: list[bytes] = []
    for name, sequence in genome.chromosomes.items():
        pieces.append(f">{name} dna:chromosome simulated:{name}:1:{len(sequence)}:1\n".encode())
        full = len(sequence) // LINE * LINE
        lines = np.full((full // LINE, LINE + 1), ord("\n"), np.uint8)
        lines[:, :LINE] = sequence[:full].reshape(-1, LINE)
        pieces.append(lines.tobytes())
        if full < len(sequence):
            pieces.append(sequence[full:].tobytes() + b"\n")
    return pieces


def write_gtf(path: Path | str, genome: Genome) -> None:
    """Write gene, transcript and exon lines with Ensembl's attributes, in the order of the chromosomes."""
    lines = [GTF_HEAD, *gtf_lines(genome)]
    write_bytes(path, ("\n".join(lines) + "\n").encode())


def gtf_lines(genome: Genome) -> Iterator[str]:
    """The lines of `write_gtf` but the first."""
    tx_ptr = genome.tx_ptr()
    rank = {name: i for i, name in enumerate(genome.chromosomes)}
    order = sorted(
        range(len(genome.genes)),
        key=lambda g: (rank[genome.genes["chromosome"].iat[g]], genome.genes["start"].iat[g]),
    )
    for g in order:
        gene = genome.genes.iloc[g]
        strand = "+" if gene["strand"] > 0 else "-"

        def line(feature: str, start: int, end: int, attributes: str, gene=gene, strand=strand) -> str:  # type: ignore[no-untyped-def]
            fields = (gene["chromosome"], "simulated", feature, start + 1, end, ".", strand, ".", attributes)
            return "\t".join(map(str, fields))

        of_gene = (
            f'gene_id "{gene.name}"; gene_version "1"; gene_name "{gene[names.SYMBOL]}"; '
            f'gene_source "simulated"; gene_biotype "{gene["biotype"]}";'
        )
        yield line("gene", gene["start"], gene["end"], of_gene)
        for isoform, t in enumerate(range(tx_ptr[g], tx_ptr[g + 1])):
            first, last = genome.exon_ptr[t], genome.exon_ptr[t + 1]
            of_tx = (
                f'{of_gene} transcript_id "{genome.tx_id[t]}"; transcript_version "1"; '
                f'transcript_name "{gene[names.SYMBOL]}-{201 + isoform}"; transcript_biotype "{gene["biotype"]}";'
            )
            yield line("transcript", genome.exon_start[first], genome.exon_end[last - 1], of_tx)
            exons = range(first, last) if strand == "+" else range(last - 1, first - 1, -1)
            for number, e in enumerate(exons, 1):
                yield line("exon", genome.exon_start[e], genome.exon_end[e], f'{of_tx} exon_number "{number}";')


def write_gene_table(path: Path | str, genome: Genome) -> None:
    """Write gene_id, symbol, difficulty, partner and the number of transcripts, one row a gene."""
    table = genome.genes[[names.SYMBOL, "difficulty", "chromosome", "strand"]].copy()
    partner = genome.genes["partner"].to_numpy()
    table["partner"] = np.where(partner < 0, "", genome.genes.index.to_numpy()[partner])
    table["n_transcripts"] = np.diff(genome.tx_ptr())
    write_bytes(path, table.to_csv(sep="\t", lineterminator="\n").encode())
