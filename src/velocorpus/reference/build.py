"""From FASTA + GTF to a checked reference folder that every quantifier builds its index from.

    genome.fa         plain FASTA, upper case (absent when only a GTF is given: enough to count BAMs)
    genes.gtf         the kept genes' lines, gene ids without version
    gene_table.tsv    gene_id symbol version biotype chromosome strand start end, one row a kept gene
    star.params       STAR's index parameters that depend on the genome's size (`STAR --parametersFiles`)
    star_align.params the same for aligning
    reference.json    name, organism, digests, genes kept and dropped by biotype, what was checked

Whether FASTA and GTF belong together is asked of the sequence itself: nearly all introns of a right pair
begin with GT or GC and end with AG on their strand. Shared names prove nothing: two assemblies of one
genome share them all.
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from velocorpus import files
from velocorpus.errors import UserMistake
from velocorpus.reference import annotation, genome

# Vertebrates have GT-AG or GC-AG at about 99 % of their introns, chance gives 1 %. Judged from 10 introns on.
MIN_SPLICE_SITES = 0.5
MIN_INTRONS = 10
# Bases; all real genomes of cells with introns are larger, so their alignments are as STAR's defaults make them.
SMALL_GENOME = 8_000_000
# A piece of a chromosome may cut a gene at its end; more are a sign of another assembly.
MAX_BEYOND_END = 0.1
TABLE_COLUMNS = ("gene_id", "symbol", "version", "biotype", "chromosome", "strand", "start", "end")


@dataclass
class _Gene:
    symbol: str
    version: str
    biotype: str
    chromosome: str
    strand: str
    start: int
    end: int
    like_10x: bool = False
    has_exon: bool = False

    def within(self, sequence: Mapping[str, bytearray] | None) -> bool:
        """Whether the genome, if there is one, has all of the gene."""
        return sequence is None or self.end <= len(sequence.get(self.chromosome, b""))


@dataclass
class _Annotation:
    genes: dict[str, _Gene] = field(default_factory=dict)
    exons: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    chromosomes: dict[str, None] = field(default_factory=dict)  # an ordered set

    def introns(self) -> set[tuple[str, int, int]]:
        """Chromosome with strand appended, first and last base; gaps of up to 4 bases are no introns."""
        return {
            (where, left[1] + 1, right[0] - 1)
            for (_, where), exons in self.exons.items()
            for left, right in zip(sorted(exons), sorted(exons)[1:], strict=False)
            if right[0] - left[1] > 4
        }


def build_reference(
    *,
    gtf: Path | str,
    out: Path | str,
    fasta: Path | str | None = None,
    name: str | None = None,
    organism: str = "human",
    biotypes: Literal["10x", "all"] = "10x",
    offsets: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Check and filter a FASTA and a GTF, write the folder `out`, and return what `reference.json` says.

    `biotypes` "10x" keeps the genes that a 10x reference keeps (`annotation.is_10x_transcript`); a GTF
    without biotypes keeps all, and says so. `offsets` (chromosome → bases) is for a FASTA that holds a piece
    of a chromosome. Genes outside the FASTA and genes without exons are dropped and counted.

    Raises `UserMistake` when the GTF has no exons, when FASTA and GTF share no chromosome, when many genes
    lie beyond their chromosome's end, when the introns do not look like introns in this FASTA, or when no
    gene is left.
    """
    seen = _scan(gtf)
    sequence = genome.pad(genome.read_genome(fasta), offsets or {}, str(fasta)) if fasta is not None else None
    if sequence is None and offsets:
        raise UserMistake("An offset was given without a FASTA; give --fasta, or leave the offset out.")
    share = _check(seen, sequence, gtf, fasta) if sequence is not None else None

    stated = any(gene.biotype for gene in seen.genes.values())
    if biotypes == "10x" and not stated:
        _say(f"{gtf} states no gene_biotype or gene_type: all genes are kept")
    kept = {
        gene_id
        for gene_id, gene in seen.genes.items()
        if gene.within(sequence)
        and gene.has_exon
        and (biotypes == "all" or not stated or (gene.like_10x and gene.biotype in annotation.BIOTYPES_10X))
    }
    if not kept:
        found = Counter(gene.biotype for gene in seen.genes.values())
        raise UserMistake(
            f"{gtf} has no gene of a biotype that 10x keeps (it has {genome.few(sorted(found))}); use --biotypes all."
        )

    with files.replacing(out) as aside:
        aside.mkdir()
        if sequence is not None:
            genome.write_genome(aside / "genome.fa", sequence)
            _write_star_parameters(aside, sequence, seen)
        with (aside / "genes.gtf").open("w", encoding="utf-8") as lines:
            for record in annotation.read_records(gtf):
                if record.gene_id in kept:
                    lines.write(record.line + "\n")
        _write_table(aside / "gene_table.tsv", {g: seen.genes[g] for g in seen.genes if g in kept})
        about = _about(seen, kept, sequence, aside)
        about |= {"name": name or Path(out).name, "organism": organism, "splice_site_share": share}
        about |= {
            "biotypes": biotypes if stated else "all: the GTF states none",
            "offsets": dict(offsets or {}),
        }
        files.write_json(aside / "reference.json", about)
    _say(f"{about['name']}: kept {about['n_genes']} of {len(seen.genes)} genes of {gtf}")
    for biotype, n in about["dropped_by_biotype"].items():
        _say(f"  dropped {n} of biotype {biotype}")
    if about["dropped_without_exons"]:
        _say(f"  dropped {about['dropped_without_exons']} that have no exon lines")
    for chromosome, n in about["dropped_outside_fasta"].items():
        _say(f"  dropped {n} of chromosome {chromosome} that the FASTA does not hold")
    return about


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _scan(gtf: Path | str) -> _Annotation:
    """One pass over the GTF: genes with their extent, exons per transcript."""
    seen = _Annotation()
    for record in annotation.read_records(gtf):
        gene = seen.genes.get(record.gene_id)
        if gene is None:
            get = record.attributes.get
            gene = seen.genes[record.gene_id] = _Gene(
                symbol=get("gene_name") or record.gene_id,
                version=get("gene_version") or "",
                biotype=record.biotype,
                chromosome=record.chromosome,
                strand=record.strand,
                start=record.start,
                end=record.end,
            )
        # Some GTFs state the biotype on the gene's own line only.
        gene.biotype = gene.biotype or record.biotype
        gene.start, gene.end = min(gene.start, record.start), max(gene.end, record.end)
        seen.chromosomes[record.chromosome] = None
        # A GTF may have no transcript lines; its exon lines say the same of their transcript.
        if record.feature in ("transcript", "exon") and not gene.like_10x:
            gene.like_10x = annotation.is_10x_transcript(record)
        if record.feature == "exon":
            gene.has_exon = True
            transcript = record.attributes.get("transcript_id", record.gene_id)
            seen.exons[(transcript, record.chromosome + record.strand)].append((record.start, record.end))
    if not seen.exons:
        raise UserMistake(
            f"{gtf} has no exon lines; without exons spliced and unspliced cannot be told apart, give a full GTF."
        )
    return seen


def _check(
    seen: _Annotation, sequence: Mapping[str, bytearray], gtf: Path | str, fasta: Path | str | None
) -> float | None:
    """Refuse a FASTA and a GTF that do not belong together; return the share of introns with splice sites."""
    shared = set(seen.chromosomes) & set(sequence)
    if not shared:
        raise UserMistake(
            f"{fasta} and {gtf} share no chromosome: the FASTA has {genome.few(sequence)}, the GTF has "
            f"{genome.few(seen.chromosomes)}; take both from one provider (Ensembl says 1, GENCODE chr1)."
        )
    introns = [intron for intron in seen.introns() if intron[0][:-1] in shared]
    share = sum(_has_splice_sites(sequence[w[:-1]], a, b, w[-1]) for w, a, b in introns) / max(1, len(introns))
    if len(introns) >= MIN_INTRONS and share < MIN_SPLICE_SITES:
        raise UserMistake(
            f"{fasta} and {gtf} do not belong together: only {share:.0%} of {len(introns)} introns have "
            "splice sites (GT-AG) in this FASTA, a right pair has about 99 %; take both from one assembly, or, "
            "when the FASTA is a piece of a chromosome, say where it starts (--offset CHROMOSOME:BASES_BEFORE)"
            f"{_hint(seen, sequence)}."
        )
    there = [gene for gene in seen.genes.values() if gene.chromosome in shared]
    beyond = [gene for gene in there if not gene.within(sequence)]
    if len(beyond) > MAX_BEYOND_END * len(there):
        name, n = beyond[0].chromosome, len(sequence[beyond[0].chromosome])
        raise UserMistake(
            f"{len(beyond)} of {len(there)} genes of {gtf} lie beyond the end of their chromosome (one ends at "
            f"{name}:{beyond[0].end}, {name} in {fasta} has {n} bases); take both from one assembly, or give "
            "--offset for a piece of a chromosome."
        )
    return round(share, 4) if introns else None


def _has_splice_sites(bases: bytearray, start: int, end: int, strand: str) -> bool:
    first, last = bytes(bases[start - 1 : start + 1]), bytes(bases[end - 2 : end])
    if strand == "-":
        return first == b"CT" and last in (b"AC", b"GC")
    return first in (b"GT", b"GC") and last == b"AG"


def _hint(seen: _Annotation, sequence: Mapping[str, bytearray], reach: int = 5000) -> str:
    """For a small piece: the one offset at which the introns fit, if there is one."""
    if len(sequence) != 1 or len(seen.exons) > 2000:
        return ""
    (name, bases), fits = next(iter(sequence.items())), Counter[int]()
    introns = [intron for intron in seen.introns() if intron[0][:-1] == name]
    for offset in range(-reach, reach + 1):
        fits[offset] = sum(
            start > offset and _has_splice_sites(bases, start - offset, end - offset, where[-1])
            for where, start, end in introns
        )
    best, n = fits.most_common(1)[0]
    return f"; at {name}:{best} it would be {n} of {len(introns)}" if n > MIN_SPLICE_SITES * len(introns) else ""


def _write_star_parameters(folder: Path, sequence: Mapping[str, bytearray], seen: _Annotation) -> None:
    """STAR's manual: a small genome needs a short pre-index, many scaffolds need small bins.

    STAR's default for the longest intron is about 589,000 bases: a genome of that size is one window, in which the
    chance matches of every read are stitched (2.5 times slower on 0.7 Mb). There the longest known intron decides.
    """
    n_bases = sum(map(len, sequence.values()))
    index_bases = min(14, int(math.log2(n_bases) / 2 - 1))
    bin_bits = min(18, int(math.log2(max(n_bases / len(sequence), 100))))
    (folder / "star.params").write_text(
        f"genomeSAindexNbases {index_bases}\ngenomeChrBinNbits {bin_bits}\n", encoding="utf-8"
    )
    longest = max((end - start + 1 for _, start, end in seen.introns()), default=0)
    intron_max = longest if n_bases < SMALL_GENOME else 0
    (folder / "star_align.params").write_text(f"alignIntronMax {intron_max}\n", encoding="utf-8")


def _write_table(path: Path, genes: Mapping[str, _Gene]) -> None:
    with path.open("w", encoding="utf-8") as table:
        table.write("\t".join(TABLE_COLUMNS) + "\n")
        for gene_id, gene in genes.items():
            row = [gene_id, *(str(getattr(gene, column)) for column in TABLE_COLUMNS[1:])]
            table.write("\t".join(row) + "\n")


def _about(seen: _Annotation, kept: set[str], sequence: Mapping[str, bytearray] | None, folder: Path) -> dict[str, Any]:
    digests = {"gtf": files.sha256(folder / "genes.gtf")}
    if sequence is not None:
        digests["fasta"] = files.sha256(folder / "genome.fa")
    dropped = [gene for gene_id, gene in seen.genes.items() if gene_id not in kept]
    absent = [gene for gene in dropped if not gene.within(sequence)]
    bare = [gene for gene in dropped if gene.within(sequence) and not gene.has_exon]
    others = [gene for gene in dropped if gene.within(sequence) and gene.has_exon]
    return {
        "digests": digests,
        "n_genes": len(kept),
        "n_bases": sum(map(len, sequence.values())) if sequence is not None else 0,
        "chromosomes": {n: len(b) for n, b in sequence.items()} if sequence is not None else {},
        "kept_by_biotype": dict(sorted(Counter(seen.genes[g].biotype for g in kept).items())),
        "dropped_by_biotype": dict(sorted(Counter(gene.biotype for gene in others).items())),
        "dropped_without_exons": len(bare),
        "dropped_outside_fasta": dict(sorted(Counter(gene.chromosome for gene in absent).items())),
    }
