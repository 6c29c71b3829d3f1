"""One deep sample as a BAM: millions of reads over a whole annotation, to measure counters by (preset `count_bench`).

The genome is drawn chromosome by chromosome, each with all the difficulties of `genome.py`; then the reads, those of
a chromosome sorted and written before the next is begun, so that memory is that of one chromosome's reads. Expression
is log-normal over genes and cells, without kinetics, and no truth is kept: what a counter must say, velocyto says.
"""

import dataclasses
import gzip
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pysam

from velocorpus import names
from velocorpus.files import replacing, write_text
from velocorpus.simulate import gene_models as gm
from velocorpus.simulate.bam import BAM, GEM_GROUP
from velocorpus.simulate.bam_records import (
    DELETED,
    GROUP,
    INSERTED,
    RECORD_LIMIT,
    Places,
    Reads,
    Texts,
    as_rows,
    encode,
)
from velocorpus.simulate.genome import SHARES, Genome, make_genome
from velocorpus.simulate.labels import AMBIGUOUS, SPLICED, UNSPLICED
from velocorpus.simulate.priming import READ_LENGTH, ReadParameters, draw_positions, only_here
from velocorpus.simulate.reference_files import GTF, GTF_HEAD, WHITELIST, fasta_pieces, gtf_lines
from velocorpus.simulate.samples import BARCODES
from velocorpus.simulate.sequencing import UMI_LENGTH, draw_intergenic
from velocorpus.simulate.templates import Blocks, Templates, make_templates
from velocorpus.simulate.whitelist import make_whitelist

FASTA = "genome.fa"
MITOCHONDRIAL_GENES = 13
BLOCK = 65_280  # bytes of records in a BGZF block, as htslib fills it
SLICE = 50_000  # records encoded at a time


@dataclass(frozen=True)
class DeepSample:
    """Everything that fixes the bytes: sizes, and the shares of what makes reads hard to count or not countable."""

    name: str = "count_bench"
    n_reads: int = 20_000_000
    n_genes: int = 20_000
    n_cells: int = 8_000
    n_droplets: int = 80_000  # listed by the chemistry, without a cell
    seed: int = 1
    reads_per_molecule: float = 4.0
    in_cells: float = 0.85  # of molecules; the others are in droplets
    unspliced: float = 0.27  # of molecules, before one-exon genes and priming at the tail
    ambiguous: float = 0.04
    chimeric: float = 0.01  # molecules whose UMI is one of few, so that some hold reads of several genes
    without_barcode: float = 0.03
    intergenic: float = 0.04  # of reads, as all below
    unmapped: float = 0.03
    multimapped: float = 0.08  # besides reads that fit a paralog
    antisense: float = 0.02
    clipped: float = 0.05  # at either end
    indel: float = 0.03


@dataclass(frozen=True)
class _Barcodes:
    """The chemistry's barcodes, cells first, and how deep the cells were sequenced (cumulated, to draw from)."""

    texts: list[str]
    n_cells: int
    depth: np.ndarray

    def draw(self, n: int, sample: DeepSample, rng: np.random.Generator) -> np.ndarray:
        """Barcodes (rows; −1: on no list) of `n` molecules."""
        row = np.where(
            rng.random(n) < sample.in_cells,
            _among(self.depth, n, rng),
            rng.integers(self.n_cells, max(len(self.texts), self.n_cells + 1), n) % len(self.texts),
        )
        return np.where(rng.random(n) < sample.without_barcode, -1, row)


def write_deep_sample(sample: DeepSample, folder: Path | str, say: Callable[[str], None]) -> int:
    """Write BAM (without index), genome.fa, genes.gtf.gz, barcodes.tsv (the cells) and whitelist.txt; returns records.

    `folder` is replaced whole. Reads are about `sample.n_reads` (within a part in a thousand); secondary
    records come on top. `say` is told each chromosome that is done.
    """
    with replacing(folder) as aside:
        aside.mkdir()
        rng = np.random.default_rng([sample.seed, 0])
        listed = make_whitelist(sample.n_cells + sample.n_droplets, rng)
        barcodes = _Barcodes(
            [listed[i] for i in rng.permutation(len(listed))],
            sample.n_cells,
            np.cumsum(rng.lognormal(0, 0.6, sample.n_cells)),
        )
        write_text(aside / WHITELIST, "".join(f"{b}\n" for b in listed))
        write_text(aside / BARCODES, "".join(f"{b}{GEM_GROUP}\n" for b in sorted(barcodes.texts[: sample.n_cells])))
        weight = rng.lognormal(0, 2, sample.n_genes)
        genomes = list(_genomes(sample))
        with (aside / FASTA).open("wb") as fasta:
            fasta.writelines(piece for genome in genomes for piece in fasta_pieces(genome))
        with gzip.GzipFile(aside / GTF, "wb", compresslevel=6, mtime=0) as gtf:
            gtf.write(f"{GTF_HEAD}\n".encode())
            gtf.writelines(f"{line}\n".encode() for genome in genomes for line in gtf_lines(genome))
        say(f"{sample.name}: {sample.n_genes} genes, {sum(len(g.tx_id) for g in genomes)} transcripts")
        with pysam.BGZFile(str(aside / BAM), "wb", None) as bam:
            return _write_bam(bam, sample, genomes, np.split(weight, _edges(sample)), barcodes, say)


def _edges(sample: DeepSample) -> np.ndarray:
    """Where genes are cut into chromosomes: 24 and MT, or fewer where they would have less than 40 genes each."""
    n = int(np.clip(sample.n_genes // 40, 1, 24))
    return np.arange(1, n) * sample.n_genes // n


def _genomes(sample: DeepSample) -> Iterator[Genome]:
    """The genome in parts of one chromosome, the last of them with MT as well; five transcripts a gene on average."""
    rows = np.split(np.arange(sample.n_genes), _edges(sample))
    chromosomes = [*map(str, range(1, len(rows) + 1))] if len(rows) < 24 else [*map(str, range(1, 23)), "X", "Y"]
    n_transcripts = 0
    for c, (row, chromosome) in enumerate(zip(rows, chromosomes, strict=True)):
        on_mt = row >= sample.n_genes - MITOCHONDRIAL_GENES
        symbols = np.where(on_mt, [f"MT-SIM{i}" for i in row], [f"SIM{i}" for i in row])
        table = pd.DataFrame({names.SYMBOL: symbols}, index=[f"SIMG{i:011d}" for i in row])
        genome = make_genome(
            table,
            rng=np.random.default_rng([sample.seed, 1, c]),
            shares=SHARES | {gm.ISOFORMS: 0.66},
            n_chromosomes=1,
            further_isoforms=(2, 14),
        )
        renamed = {"1": chromosome, "MT": "MT"}
        yield dataclasses.replace(
            genome,
            chromosomes={renamed[name]: sequence for name, sequence in genome.chromosomes.items()},
            genes=genome.genes.assign(chromosome=genome.genes["chromosome"].map(renamed)),
            tx_id=[f"SIMT{n_transcripts + t:011d}" for t in range(len(genome.tx_id))],
        )
        n_transcripts += len(genome.tx_id)


def _write_bam(
    bam: pysam.BGZFile,
    sample: DeepSample,
    genomes: list[Genome],
    weights: list[np.ndarray],
    barcodes: _Barcodes,
    say: Callable[[str], None],
) -> int:
    bam.write(_header({name: len(bases) for genome in genomes for name, bases in genome.chromosomes.items()}))
    bam.flush()
    n_mapped = round(sample.n_reads * (1 - sample.unmapped))
    share = np.array([weight.sum() for weight in weights])
    n_of_part = np.random.default_rng([sample.seed, 2]).multinomial(n_mapped, share / share.sum())
    rows = as_rows(barcodes.texts)
    n_reads = n_records = n_chromosomes = 0
    for c, (genome, weight, n) in enumerate(zip(genomes, weights, n_of_part, strict=True)):
        rng = np.random.default_rng([sample.seed, 3, c])
        reads, places = _draw(sample, genome, weight, int(n), barcodes, rng)
        reads = reads._replace(number=reads.number + n_reads)
        places = places._replace(chromosome=places.chromosome + n_chromosomes)
        n_records += _write_records(bam, sample.seed, reads, places, _texts(genome, rows, n_chromosomes), rng)
        n_reads += len(reads.number)
        n_chromosomes += len(genome.chromosomes)
        say(f"{sample.name}: {n_records} records up to chromosome {list(genome.chromosomes)[-1]}")
    rng = np.random.default_rng([sample.seed, 4])
    left = sample.n_reads - n_mapped
    for n in (*[1_000_000] * (left // 1_000_000), left % 1_000_000):
        reads, places = _unmapped(sample, n, barcodes, rng)
        reads = reads._replace(number=reads.number + n_reads)
        n_records += _write_records(bam, sample.seed, reads, places, _texts(genomes[-1], rows, 0), rng)
        n_reads += n
    return n_records


def _header(lengths: dict[str, int]) -> bytes:
    lines = ["@HD\tVN:1.6\tSO:coordinate", *(f"@SQ\tSN:{name}\tLN:{n}" for name, n in lengths.items())]
    lines += [f"@RG\tID:{GROUP}\tSM:sim\tPL:ILLUMINA", "@PG\tID:velocorpus\tPN:velocorpus simulate"]
    text = "".join(f"{line}\n" for line in lines).encode()
    packed = b"BAM\1" + struct.pack("<i", len(text)) + text + struct.pack("<i", len(lengths))
    for name, n in lengths.items():
        packed += struct.pack("<i", len(name) + 1) + name.encode() + b"\0" + struct.pack("<i", n)
    return packed


def _among(cumulated: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """`n` rows drawn by cumulated weights."""
    return np.minimum(np.searchsorted(cumulated, rng.random(n) * cumulated[-1], "right"), len(cumulated) - 1)


def _draw(
    sample: DeepSample, genome: Genome, weight: np.ndarray, n: int, barcodes: _Barcodes, rng: np.random.Generator
) -> tuple[Reads, Places]:
    """About `n` reads of one part of the genome, in random order, with places one to one."""
    templates = make_templates(genome)
    n_between = round(sample.intergenic * n)
    n_molecules = round((n - n_between) / sample.reads_per_molecule)
    gene = _among(np.cumsum(weight), n_molecules, rng)
    share = rng.random(n_molecules)
    kind = np.where(share < sample.unspliced, UNSPLICED, SPLICED)
    kind[share > 1 - sample.ambiguous] = AMBIGUOUS
    molecule = np.repeat(np.arange(n_molecules), 1 + rng.poisson(sample.reads_per_molecule - 1, n_molecules))
    template, start = draw_positions(genome, templates, gene, kind, molecule, ReadParameters(), rng)
    between = draw_intergenic(genome, templates, n_between, rng)
    molecule = np.concatenate([molecule, n_molecules + np.arange(len(between[0]))])
    template, start = np.concatenate([template, between[0]]), np.concatenate([start, between[1]])
    order = rng.permutation(len(molecule))
    molecule, template, start = molecule[order], template[order], start[order]
    places = _places(sample, genome, templates, template, start, rng)
    fits_paralog = ~only_here(genome, templates, templates.gene[template], Blocks(*places[1:4]))
    reads = _reads(sample, molecule, barcodes, rng)
    several = fits_paralog | (rng.random(len(molecule)) < sample.multimapped)
    n_hits = np.where(several, np.where(fits_paralog, 2, 2 + rng.poisson(1, len(several))), 1)
    return reads._replace(n_hits=n_hits), places


def _reads(sample: DeepSample, molecule: np.ndarray, barcodes: _Barcodes, rng: np.random.Generator) -> Reads:
    """Reads with the barcode and UMI of their molecules."""
    n = int(molecule.max(initial=-1)) + 1
    umi = rng.integers(0, 4**UMI_LENGTH, n)
    umi = np.where(rng.random(n) < sample.chimeric, umi % 16 * 1_000_003, umi)
    counted = np.zeros(len(molecule), bool)
    counted[np.unique(molecule, return_index=True)[1]] = True
    return Reads(
        number=np.arange(len(molecule)),
        barcode=barcodes.draw(n, sample, rng)[molecule],
        umi=umi[molecule],
        n_hits=np.ones(len(molecule), np.int64),
        counted=counted,
    )


def _places(
    sample: DeepSample,
    genome: Genome,
    templates: Templates,
    template: np.ndarray,
    start: np.ndarray,
    rng: np.random.Generator,
) -> Places:
    """Where reads align: their blocks, with clips that leave 20 matching bases at either end, or with one indel."""
    n = len(template)
    blocks = templates.blocks(template, start, READ_LENGTH)
    first, last = blocks.ptr[:-1], blocks.ptr[1:] - 1
    one_block = first == last
    clips = []
    for block in (first, last):
        room = (blocks.end[block] - blocks.start[block]) // 2 - 20
        chosen = (rng.random(n) < sample.clipped) & (room > 0)
        clips.append(np.where(chosen, np.minimum(rng.integers(1, 26, n), room), 0))
    chromosome = templates.chromosome[template]
    ends = np.array([len(bases) for bases in genome.chromosomes.values()])
    indel = (rng.random(n) < sample.indel) & one_block & (clips[0] + clips[1] == 0)
    indel &= blocks.end[last] + 8 < ends[chromosome]
    reverse = (templates.strand[template] < 0) ^ (rng.random(n) < sample.antisense)
    sense = reverse == (templates.strand[template] < 0)
    in_gene = sense & (templates.gene[template] >= 0)
    return Places(
        chromosome=chromosome,
        ptr=blocks.ptr,
        start=blocks.start,
        end=blocks.end,
        left_clip=clips[0],
        right_clip=clips[1],
        indel=np.where(indel, rng.choice([INSERTED, DELETED], n), 0),
        indel_size=np.minimum(rng.geometric(0.5, n), 6),
        indel_after=rng.integers(15, READ_LENGTH - 25, n),
        reverse=reverse,
        gene=np.where(in_gene, templates.gene[template], -1),
        transcript=np.where(in_gene & (template < templates.n_transcripts), template, -1),
        on_transcript=start,
    )


def _unmapped(sample: DeepSample, n: int, barcodes: _Barcodes, rng: np.random.Generator) -> tuple[Reads, Places]:
    """Reads of random sequence."""
    zero, none = np.zeros(n, np.int64), np.full(n, -1)
    block = np.arange(n + 1)
    places = Places(none, block, zero, zero, zero, zero, zero, zero, zero, np.zeros(n, bool), none, none, zero)
    return _reads(sample, np.arange(n), barcodes, rng), places


def _texts(genome: Genome, barcodes: np.ndarray, before: int) -> Texts:
    """What records quote; chromosome numbers count from the first of the BAM, of which `before` are not here."""
    sizes = [len(bases) for bases in genome.chromosomes.values()]
    return Texts(
        barcodes=barcodes,
        gene_ids=as_rows([str(gene) for gene in genome.genes.index]),
        symbols=as_rows([str(symbol) for symbol in genome.genes[names.SYMBOL]]),
        transcripts=as_rows(genome.tx_id),
        bases=np.concatenate(list(genome.chromosomes.values())),
        offset=np.concatenate([np.zeros(before + 1, np.int64), np.cumsum(sizes[:-1])]).astype(np.int64),
    )


def _write_records(
    bam: pysam.BGZFile, seed: int, reads: Reads, places: Places, texts: Texts, rng: np.random.Generator
) -> int:
    """Write reads in the order of their places, records never cut by the end of a block; return their number.

    Every second read with several hits has a secondary record, at the place of another read.
    """
    n = len(reads.number)
    again = np.flatnonzero((reads.n_hits > 1) & (rng.random(n) < 0.5))
    read = np.concatenate([np.arange(n), again])
    place = np.concatenate([np.arange(n), rng.permutation(n)[: len(again)]])
    place[n:] = np.where(place[n:] == again, (again + 1) % n, place[n:])
    first = places.start[places.ptr[place]] + places.left_clip[place]
    order = np.lexsort((read, first, places.chromosome[place]))
    read, place = read[order], place[order]
    out = np.empty(SLICE * RECORD_LIMIT, np.uint8)
    for at in range(0, len(read), SLICE):
        ends = np.zeros(min(SLICE, len(read) - at), np.int64)
        encode(read, place, at, reads, places, texts, READ_LENGTH, seed, out, ends)
        begin = 0
        while begin < ends[-1]:
            end = int(ends[np.searchsorted(ends, begin + BLOCK, "right") - 1])
            bam.write(out[begin:end].tobytes())
            bam.flush()
            begin = end
    return len(read)
