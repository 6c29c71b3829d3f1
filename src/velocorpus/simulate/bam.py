"""A coordinate-sorted BAM of the true alignments, with the tags that Cell Ranger writes.

Records are written as SAM text and turned into BAM by samtools' own code (through pysam), which is the fastest of the
plain ways. Reads that fit a paralog as well get NH 2, MAPQ 3 and a secondary record there, and no gene, as Cell
Ranger does; a read from an unlisted barcode has no CB; random sequences are unmapped records at the end.
"""

import tempfile
from pathlib import Path

import numpy as np
import pysam

from velocorpus import names
from velocorpus.files import replacing
from velocorpus.simulate.fastq import qualities
from velocorpus.simulate.genome import COMPLEMENT, Genome
from velocorpus.simulate.priming import READ_LENGTH
from velocorpus.simulate.reads import ReadSet
from velocorpus.simulate.templates import Blocks
from velocorpus.simulate.whitelist import LENGTH

BAM = "possorted_genome_bam.bam"
GEM_GROUP = "-1"
XF_COUNTED, XF_CONFIDENT = 25, 17  # Cell Ranger's flags: the read that stands for its UMI, and the others


def write_bam(path: Path, genome: Genome, reads: ReadSet, rng: np.random.Generator) -> None:
    """Write `path` and its index `path`.bai."""
    header = ["@HD\tVN:1.6\tSO:coordinate"]
    header += [f"@SQ\tSN:{name}\tLN:{len(s)}" for name, s in genome.chromosomes.items()]
    header.append("@PG\tID:velocorpus\tPN:velocorpus simulate")
    with tempfile.TemporaryDirectory(dir=path.parent) as aside, replacing(path) as bam:
        sam = Path(aside) / "reads.sam"
        with sam.open("wb") as out:
            out.write(("\n".join(header) + "\n").encode())
            out.writelines(_records(genome, reads, rng))
        pysam.view("-b", "-1", "--no-PG", "-o", str(bam), str(sam), catch_stdout=False)
    with replacing(path.with_name(path.name + ".bai")) as index:
        pysam.index("-o", str(index), str(path))


def _records(genome: Genome, reads: ReadSet, rng: np.random.Generator) -> list[bytes]:
    """SAM lines in coordinate order."""
    t = reads.templates
    mapped = reads.template >= 0
    chromosome = np.where(mapped, t.chromosome[reads.template], len(genome.chromosomes))
    reverse = mapped & (t.strand[reads.template] < 0)
    rank = np.arange(len(mapped))
    first_block = reads.blocks.start[reads.blocks.ptr[:-1]]
    flag = np.where(mapped, np.where(reverse, 16, 0), 4)
    other = np.flatnonzero(~reads.unique)
    copy = _copies(genome, reads, other)

    read = np.concatenate([rank, other])
    blocks = [reads.blocks, copy.blocks]
    chromosome = np.concatenate([chromosome, copy.chromosome])
    position = np.concatenate([np.where(mapped, first_block, 0), copy.blocks.start[copy.blocks.ptr[:-1]]])
    flag = np.concatenate([flag, np.where(copy.reverse, 16, 0) + 256])
    order = np.lexsort((read, flag >= 256, position, chromosome))
    cigar = _cigars(blocks[0]) + _cigars(blocks[1])

    turned = COMPLEMENT[reads.r2[:, ::-1]].tobytes()
    straight = reads.r2.tobytes()
    phred = qualities(len(mapped), READ_LENGTH, rng)
    quality_turned, quality = phred[:, ::-1].tobytes(), phred.tobytes()
    r1 = reads.r1.tobytes()
    r1_quality = qualities(len(mapped), reads.r1.shape[1], rng).tobytes()
    umi = reads.umi.tobytes()
    width, umi_width = reads.r1.shape[1], reads.umi.shape[1]
    barcodes = [b.encode() + GEM_GROUP.encode() for b in reads.barcodes]
    gene_id = [str(g).encode() for g in genome.genes.index]
    symbol = [str(s).encode() for s in genome.genes[names.SYMBOL]]
    chromosomes = [name.encode() for name in genome.chromosomes]
    gene = gene_of(reads)
    counted = _counted(reads)
    region = _regions(genome, reads)

    lines = []
    for i in order.tolist():
        k = int(read[i])
        f = int(flag[i])
        where = b"\t4\t*\t0\t0\t*\t*\t0\t0\t"
        if not f & 4:
            where = b"\t%d\t%s\t%d\t%d\t%s\t*\t0\t0\t" % (
                f, chromosomes[chromosome[i]], position[i] + 1, 255 if reads.unique[k] else 3, cigar[i],
            )  # fmt: skip
        bases, qual = (turned, quality_turned) if f & 16 else (straight, quality)
        a = k * READ_LENGTH
        parts = [b"SIM:1:VELO:1:%09d" % k, where, bases[a : a + READ_LENGTH], b"\t", qual[a : a + READ_LENGTH]]
        if not f & 4:
            n_hits = 1 if reads.unique[k] else 2
            parts.append(b"\tNH:i:%d\tHI:i:%d\tRE:A:%c" % (n_hits, 1 + (f >= 256), region[k]))
        xf = 0
        if gene[k] >= 0 and reads.unique[k]:
            g = gene[k]
            xf = XF_COUNTED if counted[k] else XF_CONFIDENT
            parts.append(b"\tGX:Z:%s\tGN:Z:%s" % (gene_id[g], symbol[g]))
        b = k * width
        parts.append(
            b"\txf:i:%d\tCR:Z:%s\tCY:Z:%s\tUR:Z:%s\tUY:Z:%s"
            % (xf, r1[b : b + LENGTH], r1_quality[b : b + LENGTH], r1[b + LENGTH : b + width],
               r1_quality[b + LENGTH : b + width])
        )  # fmt: skip
        if reads.barcode[k] >= 0:
            parts.append(b"\tCB:Z:%s\tUB:Z:%s" % (barcodes[reads.barcode[k]], umi[k * umi_width : (k + 1) * umi_width]))
        parts.append(b"\n")
        lines.append(b"".join(parts))
    return lines


def gene_of(reads: ReadSet) -> np.ndarray:
    """The gene row that each read comes from, −1 for none."""
    return np.where(reads.template >= 0, reads.templates.gene[reads.template], -1)


def _cigars(blocks: Blocks) -> list[bytes]:
    size = blocks.end - blocks.start
    n = np.diff(blocks.ptr)
    cigars = [b"%dM" % READ_LENGTH] * len(n)
    for i in np.flatnonzero(n > 1):
        a, b = blocks.ptr[i], blocks.ptr[i + 1]
        text = b"%dM" % size[a]
        for j in range(a + 1, b):
            text += b"%dN%dM" % (blocks.start[j] - blocks.end[j - 1], size[j])
        cigars[i] = text
    return cigars


class _Copies:
    """Second places of reads that fit a paralog: the same offsets in the partner gene."""

    def __init__(self, blocks: Blocks, chromosome: np.ndarray, reverse: np.ndarray) -> None:
        self.blocks, self.chromosome, self.reverse = blocks, chromosome, reverse


def _copies(genome: Genome, reads: ReadSet, rows: np.ndarray) -> _Copies:
    table = genome.genes
    number = {name: i for i, name in enumerate(genome.chromosomes)}
    chromosome = table["chromosome"].map(number).to_numpy()
    strand, start, end = (table[c].to_numpy() for c in ("strand", "start", "end"))
    gene = gene_of(reads)[rows]
    partner = table["partner"].to_numpy()[gene]
    ptr = np.concatenate([[0], np.cumsum(reads.blocks.ptr[rows + 1] - reads.blocks.ptr[rows])])
    starts, ends = np.zeros(ptr[-1], np.int64), np.zeros(ptr[-1], np.int64)
    for i, (row, g, h) in enumerate(zip(rows, gene, partner, strict=True)):
        part = slice(reads.blocks.ptr[row], reads.blocks.ptr[row + 1])
        s, e = reads.blocks.start[part] - start[g], reads.blocks.end[part] - start[g]
        if strand[g] != strand[h]:
            s, e = (end[g] - start[g] - e)[::-1], (end[g] - start[g] - s)[::-1]
        starts[ptr[i] : ptr[i + 1]], ends[ptr[i] : ptr[i + 1]] = s + start[h], e + start[h]
    return _Copies(Blocks(ptr, starts, ends), chromosome[partner], strand[partner] < 0)


def _counted(reads: ReadSet) -> np.ndarray:
    """The first uniquely placed read of each molecule."""
    rows = np.flatnonzero((reads.molecule >= 0) & reads.unique)
    counted = np.zeros(len(reads.molecule), bool)
    counted[rows[np.unique(reads.molecule[rows], return_index=True)[1]]] = True
    return counted


def _regions(genome: Genome, reads: ReadSet) -> np.ndarray:
    """Cell Ranger's RE: E when at least half of the read's bases are exonic, N intronic, I intergenic."""
    t = reads.templates
    gene = gene_of(reads)
    region = np.where(gene >= 0, ord("N"), ord("I"))
    exonic: dict[tuple[str, int], np.ndarray] = {}
    for (name, strand), genes in genome.genes.groupby(["chromosome", "strand"]):
        inside = np.zeros(len(genome.chromosomes[str(name)]) + 1, np.int32)
        for tx in np.flatnonzero(np.isin(genome.tx_gene, genome.genes.index.get_indexer(genes.index))):
            exons = slice(genome.exon_ptr[tx], genome.exon_ptr[tx + 1])
            for s, e in zip(genome.exon_start[exons], genome.exon_end[exons], strict=True):
                inside[s:e] = 1
        exonic[str(name), int(strand)] = np.concatenate([[0], np.cumsum(inside)])
    chromosome_names = list(genome.chromosomes)
    n_blocks = np.diff(reads.blocks.ptr)
    of_block = np.repeat(np.arange(len(gene)), n_blocks)
    bases = np.zeros(len(of_block), np.int64)
    for (name, strand), before in exonic.items():
        here = (gene >= 0) & (t.strand[reads.template] == strand)
        here &= t.chromosome[reads.template] == chromosome_names.index(name)
        rows = np.flatnonzero(here[of_block])
        bases[rows] = before[reads.blocks.end[rows]] - before[reads.blocks.start[rows]]
    exon_bases = np.bincount(of_block, bases, len(gene))
    region[(gene >= 0) & (2 * exon_bases >= READ_LENGTH)] = ord("E")
    return region
