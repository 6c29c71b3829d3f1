"""A genome of real difficulties: sequence, genes on it and their transcripts, all from one seed.

Coordinates are 0-based and half-open, exons ascend along the chromosome whatever the strand. Sequences are ASCII
bytes (uint8). The shares below fix how many genes of each difficulty there are; `genes.difficulty` names it, so that
an error of a counter against the truth can be told by its cause.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.simulate import gene_models as gm
from velocorpus.simulate.gene_models import GeneModel, draw_gene

SHARES = {
    gm.ISOFORMS: 0.30,
    gm.ONE_EXON: 0.07,
    gm.LONG_INTRON: 0.03,
    gm.PARALOG: 0.06,
    gm.SAME_STRAND: 0.06,
    gm.ANTISENSE: 0.08,
}
PAIRED = (gm.PARALOG, gm.SAME_STRAND, gm.ANTISENSE)
GC = 0.41
DIVERGENCE = (0.02, 0.05)  # substitutions per base between a paralog and its copy
COMPLEMENT = np.zeros(256, np.uint8)
COMPLEMENT[np.frombuffer(b"ACGTN", np.uint8)] = np.frombuffer(b"TGCAN", np.uint8)


@dataclass(frozen=True)
class Genome:
    """Chromosomes, genes and transcripts.

    `genes` is indexed by gene id in the caller's order: `symbol`, `chromosome`, `strand` (+1 or −1), `start`, `end`,
    `difficulty`, `partner` (row of the gene that overlaps it or was copied from it, −1 without), `biotype`.
    Transcripts are flat arrays: transcript t belongs to gene row `tx_gene[t]`, is made in share `tx_weight[t]` of that
    gene's molecules and has exons `exon_ptr[t]:exon_ptr[t + 1]` of `exon_start`, `exon_end`; a gene's first transcript
    spans the gene. `site_ptr`, `sites` are each gene's priming sites, counted in bases from the gene's 5' end.
    """

    chromosomes: dict[str, np.ndarray]
    genes: pd.DataFrame
    tx_id: list[str]
    tx_gene: np.ndarray
    tx_weight: np.ndarray
    exon_ptr: np.ndarray
    exon_start: np.ndarray
    exon_end: np.ndarray
    site_ptr: np.ndarray
    sites: np.ndarray

    @property
    def n_bases(self) -> int:
        """Bases over all chromosomes."""
        return sum(len(sequence) for sequence in self.chromosomes.values())

    def tx_ptr(self) -> np.ndarray:
        """Where each gene's transcripts begin: gene g has transcripts `tx_ptr[g]:tx_ptr[g + 1]`."""
        return np.searchsorted(self.tx_gene, np.arange(len(self.genes) + 1))


@dataclass
class _Placed:
    """A gene with its model, strand and offset from the left end of its locus."""

    gene: int
    model: GeneModel
    strand: int
    offset: int = 0


def make_genome(
    genes: pd.DataFrame,
    *,
    rng: np.random.Generator,
    shares: dict[str, float] | None = None,
    n_chromosomes: int | None = None,
    further_isoforms: tuple[int, int] = (1, 4),
) -> Genome:
    """Draw a genome for `genes` (indexed by gene id, with `symbol`); same table and generator state, same genome.

    `shares` replaces `SHARES` (what is left over is `simple`). From 24 genes on, each chromosome begins and ends with a
    gene (`chromosome_end`). Genes whose symbol begins with `MT-` go to a chromosome MT. `further_isoforms` is
    `draw_gene`'s range for the genes of kind `isoforms`. Refuses duplicate gene ids and an empty table.
    """
    if len(genes) == 0 or not genes.index.is_unique:
        raise UserMistake("A simulated genome needs a table of genes with at least one row and no id twice.")
    symbols = genes[names.SYMBOL].astype(str).to_numpy()
    n_chromosomes = n_chromosomes or (1 if len(genes) < 24 else 2 if len(genes) < 200 else 3)
    kinds, partner = _kinds(symbols, shares or SHARES, 0 if len(genes) < 24 else 2 * n_chromosomes, rng)
    loci, models = _loci(kinds, partner, further_isoforms, rng)
    ends = [i for i, locus in enumerate(loci) if kinds[locus[0].gene] == gm.CHROMOSOME_END]
    mitochondrial = [i for i, locus in enumerate(loci) if kinds[locus[0].gene] == gm.MITOCHONDRIAL]
    middle = [i for i in range(len(loci)) if i not in {*ends, *mitochondrial}]
    rows: dict[int, tuple[str, int, int]] = {}
    lengths: dict[str, int] = {}
    order = np.array_split(rng.permutation(middle), n_chromosomes)
    for c in range(n_chromosomes):
        at_ends = ends[2 * c : 2 * c + 2]
        chain = [*at_ends[:1], *order[c], *at_ends[1:]]
        lengths[str(c + 1)] = _lay([loci[i] for i in chain], str(c + 1), bool(at_ends), rows, rng)
    if mitochondrial:
        lengths["MT"] = _lay([loci[i] for i in mitochondrial], "MT", False, rows, rng)
    table = pd.DataFrame(
        {
            names.SYMBOL: symbols,
            "chromosome": [rows[g][0] for g in range(len(genes))],
            "strand": [rows[g][2] for g in range(len(genes))],
            "start": [rows[g][1] for g in range(len(genes))],
            "end": [rows[g][1] + models[g].span for g in range(len(genes))],
            "difficulty": kinds,
            "partner": partner,
            "biotype": ["lncRNA" if k == gm.ANTISENSE and p < g else "protein_coding"
                        for g, (k, p) in enumerate(zip(kinds, partner, strict=True))],
        },
        index=pd.Index(genes.index.astype(str), dtype=object, name=names.GENE_ID),
    )  # fmt: skip
    chromosomes = {
        name: rng.choice(np.frombuffer(b"ACGT", np.uint8), n, p=[(1 - GC) / 2, GC / 2, GC / 2, (1 - GC) / 2])
        for name, n in lengths.items()
    }
    _plant(chromosomes, table, models, rng)
    return _assemble(chromosomes, table, models)


def _kinds(
    symbols: np.ndarray, shares: dict[str, float], n_ends: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    n = len(symbols)
    kinds = np.full(n, gm.SIMPLE, dtype=object)
    partner = np.full(n, -1)
    on_mt = np.array([s.upper().startswith("MT-") for s in symbols])
    kinds[on_mt] = gm.MITOCHONDRIAL
    free = rng.permutation(np.flatnonzero(~on_mt))
    wanted = {gm.CHROMOSOME_END: n_ends}
    for kind, share in shares.items():
        wanted[kind] = 2 * round(share * n / 2) if kind in PAIRED else round(share * n)
    at = 0
    for kind, count in wanted.items():
        chosen = free[at : at + count]
        chosen = chosen[: len(chosen) // 2 * 2] if kind in PAIRED else chosen
        at += count
        kinds[chosen] = kind
        if kind in PAIRED:
            first, second = np.sort(chosen.reshape(-1, 2), axis=1).T
            partner[first], partner[second] = second, first
    return kinds, partner


def _loci(
    kinds: np.ndarray, partner: np.ndarray, further: tuple[int, int], rng: np.random.Generator
) -> tuple[list[list[_Placed]], dict[int, GeneModel]]:
    """Genes that stand together, and every gene's model; a paralog's copy stands apart and has its source's model."""
    loci: list[list[_Placed]] = []
    models: dict[int, GeneModel] = {}
    for g, kind in enumerate(kinds):
        strand = int(rng.choice([-1, 1]))
        if kind in PAIRED and partner[g] < g:
            if kind == gm.PARALOG:
                models[g] = models[int(partner[g])]
                loci.append([_Placed(g, models[g], strand)])
            continue
        first = draw_gene(kind, rng, further)
        locus = [_Placed(g, first, strand)]
        if kind == gm.SAME_STRAND:
            locus.append(_same_strand(int(partner[g]), first, strand, rng))
        elif kind == gm.ANTISENSE:
            locus.append(_antisense(int(partner[g]), first, strand, rng))
        left = min(p.offset for p in locus)
        for placed in locus:
            placed.offset -= left
            models[placed.gene] = placed.model
        loci.append(locus)
    return loci, models


def _same_strand(gene: int, first: GeneModel, strand: int, rng: np.random.Generator) -> _Placed:
    """A one-exon gene inside an intron of the first, or a gene that begins in the first one's last exon."""
    main = first.isoforms[0]
    introns = [(a[1], b[0]) for a, b in pairwise(main) if b[0] - a[1] >= 1100]
    if introns and rng.random() < 0.5:
        start, end = introns[int(rng.integers(len(introns)))]
        span = int(rng.integers(500, end - start - 400))
        inner = GeneModel(span, [[(0, span)]], np.ones(1))
        sense = start + int(rng.integers(150, end - start - span - 150))
    else:
        inner = draw_gene(gm.SIMPLE, rng)
        last = main[-1][1] - main[-1][0]
        sense = first.span - int(rng.integers(150, min(500, last)))
    return _Placed(gene, inner, strand, sense if strand > 0 else first.span - sense - inner.span)


def _antisense(gene: int, first: GeneModel, strand: int, rng: np.random.Generator) -> _Placed:
    """A gene on the other strand whose 3' end overlaps the first one's 3' end, or which lies across all of it."""
    other = draw_gene(gm.SIMPLE, rng)
    overlap = int(rng.integers(200, min(first.span, other.span)))
    if rng.random() < 0.7:
        overlap = int(rng.integers(200, 600))
    return _Placed(gene, other, -strand, first.span - overlap if strand > 0 else overlap - other.span)


def _lay(
    loci: list[list[_Placed]],
    chromosome: str,
    gene_at_ends: bool,
    rows: dict[int, tuple[str, int, int]],
    rng: np.random.Generator,
) -> int:
    """Set loci along a chromosome with gaps between them; returns its length."""
    at = 0 if gene_at_ends else 300
    for i, locus in enumerate(loci):
        for placed in locus:
            rows[placed.gene] = (chromosome, at + placed.offset, placed.strand)
        at += max(p.offset + p.model.span for p in locus)
        if i + 1 < len(loci):
            at += 300 + int(min(rng.exponential(1500), 8000))
    return at if gene_at_ends else at + 300


def _plant(
    chromosomes: dict[str, np.ndarray],
    genes: pd.DataFrame,
    models: dict[int, GeneModel],
    rng: np.random.Generator,
) -> None:
    """Write into the sequence what the transcripts need: copies of paralogs, splice sites, A-rich tracts."""
    for g, gene in enumerate(genes.itertuples()):
        if gene.difficulty == gm.PARALOG and gene.partner < g:
            source = genes.iloc[gene.partner]
            copy = sense(chromosomes[source.chromosome], source.start, source.end, source.strand)
            changed = np.flatnonzero(rng.random(len(copy)) < rng.uniform(*DIVERGENCE))
            copy[changed] = substitute(copy[changed], rng)
            _put(chromosomes[gene.chromosome], gene, 0, copy)
        else:
            for site, length in zip(models[g].sites, models[g].tracts, strict=True):
                _put(chromosomes[gene.chromosome], gene, int(site), np.full(length, ord("A"), np.uint8))
        for isoform in models[g].isoforms:
            for (_, start), (end, _) in pairwise(isoform):
                _put(chromosomes[gene.chromosome], gene, start, np.frombuffer(b"GT", np.uint8))
                _put(chromosomes[gene.chromosome], gene, end - 2, np.frombuffer(b"AG", np.uint8))


def sense(sequence: np.ndarray, start: int, end: int, strand: int) -> np.ndarray:
    """A copy of `sequence[start:end]` read along `strand`."""
    piece = sequence[start:end]
    return piece.copy() if strand > 0 else COMPLEMENT[piece[::-1]]


def substitute(bases: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another base of A, C, G, T for each of `bases` (uint8 ASCII)."""
    order = np.frombuffer(b"ACGT", np.uint8)
    rank = np.zeros(256, np.uint8)
    rank[order] = np.arange(4)
    return order[(rank[bases] + rng.integers(1, 4, bases.shape, dtype=np.uint8)) % 4]


def _put(chromosome: np.ndarray, gene: object, offset: int, bases: np.ndarray) -> None:
    if gene.strand > 0:  # type: ignore[attr-defined]
        at = gene.start + offset  # type: ignore[attr-defined]
        chromosome[at : at + len(bases)] = bases
    else:
        at = gene.end - offset - len(bases)  # type: ignore[attr-defined]
        chromosome[at : at + len(bases)] = COMPLEMENT[bases[::-1]]


def _assemble(chromosomes: dict[str, np.ndarray], genes: pd.DataFrame, models: dict[int, GeneModel]) -> Genome:
    tx_gene: list[int] = []
    weights: list[float] = []
    exon_ptr = [0]
    starts: list[int] = []
    ends: list[int] = []
    for g, gene in enumerate(genes.itertuples()):
        for isoform, weight in zip(models[g].isoforms, models[g].weights, strict=True):
            exons = isoform
            if gene.strand < 0:
                exons = [(models[g].span - e, models[g].span - s) for s, e in reversed(isoform)]
            starts += [int(gene.start) + s for s, _ in exons]
            ends += [int(gene.start) + e for _, e in exons]
            exon_ptr.append(len(starts))
            tx_gene.append(g)
            weights.append(float(weight))
    prefix = [re.sub(r"G$", "T", re.match(r"[A-Za-z]*", str(gene))[0]) for gene in genes.index]  # type: ignore[index]
    sites = [models[g].sites for g in range(len(genes))]
    return Genome(
        chromosomes=chromosomes,
        genes=genes,
        tx_id=[f"{prefix[g]}{t + 1:011d}" for t, g in enumerate(tx_gene)],
        tx_gene=np.array(tx_gene, np.int32),
        tx_weight=np.array(weights),
        exon_ptr=np.array(exon_ptr, np.int64),
        exon_start=np.array(starts, np.int64),
        exon_end=np.array(ends, np.int64),
        site_ptr=np.concatenate([[0], np.cumsum([len(s) for s in sites])]).astype(np.int64),
        sites=np.concatenate(sites).astype(np.int64),
    )
