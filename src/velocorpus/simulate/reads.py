"""From counted molecules to 10x 3' reads with known origin.

A molecule is primed at one place and read once or more from fragments of different lengths that end there, as PCR
copies are in 10x libraries: so all of a molecule's reads lie upstream of one point. Spliced molecules are primed at
their poly(A) tail, in one case of five inside; unspliced ones at A-rich tracts of introns, seldom at the tail
(then nothing tells them from spliced ones, and the truth calls them so); ambiguous ones read where the gene's
isoforms disagree about what is intron. A gene without such a place, or without an intron, gives reads of what it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.simulate.genome import Genome, substitute
from velocorpus.simulate.labels import (
    AMBIGUOUS,
    SPLICED,
    UNCOUNTED,
    UNSPLICED,
    candidates,
    label_molecules,
)
from velocorpus.simulate.templates import Blocks, Templates, make_templates
from velocorpus.simulate.whitelist import LENGTH, as_bytes, as_text

READ_LENGTH = 91
UMI_LENGTH = 12
LAYER_OF = {SPLICED: names.SPLICED, UNSPLICED: names.UNSPLICED, AMBIGUOUS: names.AMBIGUOUS}


@dataclass(frozen=True)
class ReadParameters:
    """Rates of what goes wrong; probabilities unless a unit is named."""

    extra_reads: float = 0.3  # Poisson mean of a molecule's reads beyond the first
    fragment_mean: float = 290.0  # bases from a read's start to the priming point
    fragment_sd: float = 70.0
    internal_priming: float = 0.2  # of spliced molecules
    tail_priming: float = 0.04  # of unspliced molecules
    barcode_error: float = 0.01  # per read, one base
    umi_error: float = 0.005  # per read, one base
    base_error: float = 0.005  # per base of R2
    ambient: float = 0.02  # molecules from the pool per molecule of a cell
    empty_droplets: int = 300  # barcodes with 1 to 20 molecules from the pool
    unlisted: float = 0.005  # reads whose barcode is on no list
    intergenic: float = 0.01  # reads from outside genes, beside the molecules' own
    unmappable: float = 0.01  # reads of random sequence


@dataclass(frozen=True)
class ReadSet:
    """Reads of one sample in random order, and the molecules that they come from.

    Per read: `molecule` (−1 for noise), `template` (−1 for random sequence), `start` on it, `barcode` (row of
    `barcodes`, −1 unlisted), `unique` (False where a paralog has the very same bases); as ASCII bases the barcode and
    UMI `r1` (n, 28) with errors, the true `umi` (n, 12), and `r2` (n, 91) with errors. Per molecule: `cell` (row of
    `barcodes`; the first `n_cells` are cells, the rest empty droplets), `gene`, `label` and, as velocyto's logic
    counts them, `exact` and `exact_gene`, which differ where genes of one strand overlap or reads fit a paralog too.
    """

    templates: Templates
    barcodes: list[str]
    n_cells: int
    molecule: np.ndarray
    template: np.ndarray
    start: np.ndarray
    barcode: np.ndarray
    unique: np.ndarray
    r1: np.ndarray
    umi: np.ndarray
    r2: np.ndarray
    cell: np.ndarray
    gene: np.ndarray
    label: np.ndarray
    exact: np.ndarray
    exact_gene: np.ndarray
    ambient: np.ndarray
    blocks: Blocks

    def layers(self, *, exact: bool = False) -> dict[str, sparse.csr_matrix]:
        """Molecules of the cells by class: CSR int32 (cells, genes) per layer; `exact`: as velocyto would count."""
        label, gene = (self.exact, self.exact_gene) if exact else (self.label, self.gene)
        shape = (self.n_cells, self.templates.n_genes)
        layers = {}
        for code, layer in LAYER_OF.items():
            rows = (label == code) & (self.cell < self.n_cells)
            ones = np.ones(int(rows.sum()), np.int32)
            counts = sparse.csr_matrix((ones, (self.cell[rows], gene[rows])), shape=shape)
            counts.sum_duplicates()
            layers[layer] = counts
        return layers


def draw_reads(
    genome: Genome,
    layers: Mapping[str, Any],
    *,
    barcodes: list[str],
    whitelist: list[str],
    parameters: ReadParameters,
    rng: np.random.Generator,
) -> ReadSet:
    """Draw the reads of one sample.

    `layers` holds counts (cells, genes) per class, genes in the genome's order, cells in the order of `barcodes`, which
    are of `whitelist`; empty droplets take other members of it. Every molecule has one read or more and a UMI that no
    other molecule of its barcode has.
    """
    p = parameters
    templates = make_templates(genome)
    cell, gene, kind = _molecules(layers)
    cell, gene, kind, ambient = _with_ambient(cell, gene, kind, len(barcodes), p, rng)
    others = np.array(sorted(set(whitelist) - set(barcodes)), dtype=object)
    n_empty = max(int(cell.max(initial=-1)) + 1 - len(barcodes), 0)
    all_barcodes = [*barcodes, *(str(b) for b in rng.choice(others, n_empty, replace=False))]
    umi = _umis(cell, rng)

    molecule = np.repeat(np.arange(len(cell)), 1 + rng.poisson(p.extra_reads, len(cell)))
    template, start = _positions(genome, templates, gene, kind, molecule, p, rng)
    order = rng.permutation(len(molecule))
    molecule, template, start = molecule[order], template[order], start[order]
    blocks = templates.blocks(template, start, READ_LENGTH)
    unique = _unique(genome, templates, gene[molecule], blocks)

    def label(reads: np.ndarray, neighbours: bool) -> tuple[np.ndarray, np.ndarray]:
        return label_molecules(
            genome,
            molecule=molecule[reads],
            gene=gene[molecule[reads]],
            blocks=templates.blocks(template[reads], start[reads], READ_LENGTH),
            unique=unique[reads] & (cell[molecule[reads]] < len(barcodes)),
            n_molecules=len(cell),
            among=candidates(genome, neighbours=neighbours),
        )

    labels, _ = label(np.arange(len(molecule)), False)
    # Reads of one molecule may contradict each other (each best in another isoform); it was still sampled.
    labels = np.where(labels == UNCOUNTED, np.where(kind == UNSPLICED, UNSPLICED, SPLICED), labels)
    exact, exact_gene = label(np.flatnonzero(unique), True)

    n_noise = rng.poisson(len(molecule) * np.array([p.intergenic, p.unmappable]))
    place = _intergenic(genome, templates, int(n_noise[0]), rng)
    molecule = np.concatenate([molecule, np.full(n_noise.sum(), -1)])
    template = np.concatenate([template, place[0], np.full(n_noise[1], -1)])
    start = np.concatenate([start, place[1], np.zeros(n_noise[1], np.int64)])
    barcode = np.where(molecule >= 0, cell[molecule], rng.integers(0, len(all_barcodes), len(molecule)))
    barcode[rng.random(len(barcode)) < np.where(molecule >= 0, 0, p.unlisted * 20)] = -1
    umis = as_text(rng.integers(0, 4**UMI_LENGTH, len(molecule)), UMI_LENGTH)
    umis[molecule >= 0] = as_text(umi, UMI_LENGTH)[molecule[molecule >= 0]]
    order = rng.permutation(len(molecule))
    molecule, template, start = molecule[order], template[order], start[order]
    barcode, umis = barcode[order], umis[order]
    mapped = np.concatenate([unique, np.ones(n_noise.sum(), bool)])[order]
    return ReadSet(
        templates=templates,
        barcodes=all_barcodes,
        n_cells=len(barcodes),
        molecule=molecule,
        template=template,
        start=start,
        barcode=barcode,
        unique=mapped,
        r1=_first_reads(all_barcodes, barcode, umis, p, rng),
        umi=umis,
        r2=_second_reads(templates, template, start, p, rng),
        cell=cell,
        gene=gene,
        label=labels,
        exact=exact,
        exact_gene=exact_gene,
        ambient=ambient,
        blocks=templates.blocks(np.where(template < 0, len(templates.gene) - 1, template), start, READ_LENGTH),
    )


def _molecules(layers: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    parts = []
    for code, layer in LAYER_OF.items():
        counts = sparse.coo_matrix(sparse.csr_matrix(layers[layer]))
        n = counts.data.astype(np.int64)
        parts.append((np.repeat(counts.row, n), np.repeat(counts.col, n), np.full(n.sum(), code)))
    cell, gene, kind = (np.concatenate(x).astype(np.int64) for x in zip(*parts, strict=True))
    return cell, gene, kind


def _with_ambient(
    cell: np.ndarray,
    gene: np.ndarray,
    kind: np.ndarray,
    n_cells: int,
    p: ReadParameters,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Add molecules drawn from all cells' pool: to the cells, and to droplets that hold no cell."""
    if len(cell) == 0:
        return cell, gene, kind, np.zeros(0, bool)
    in_cells = np.repeat(np.arange(n_cells), rng.poisson(p.ambient * len(cell) / n_cells, n_cells))
    n_empty = rng.integers(1, 21, p.empty_droplets)
    to = np.concatenate([in_cells, n_cells + np.repeat(np.arange(p.empty_droplets), n_empty)])
    pool = rng.integers(0, len(cell), len(to))
    ambient = np.concatenate([np.zeros(len(cell), bool), np.ones(len(to), bool)])
    return (
        np.concatenate([cell, to]),
        np.concatenate([gene, gene[pool]]),
        np.concatenate([kind, kind[pool]]),
        ambient,
    )


def _umis(cell: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A UMI number for each molecule, redrawn until no barcode has one twice and none is all one base."""
    umi = rng.integers(0, 4**UMI_LENGTH, len(cell))
    homopolymers = (4**UMI_LENGTH - 1) // 3 * np.arange(4)
    while True:
        key = cell * 4**UMI_LENGTH + umi
        first = np.zeros(len(key), bool)
        first[np.unique(key, return_index=True)[1]] = True
        again = np.flatnonzero(~first | np.isin(umi, homopolymers))
        if len(again) == 0:
            return umi
        umi[again] = rng.integers(0, 4**UMI_LENGTH, len(again))


def _positions(
    genome: Genome,
    templates: Templates,
    gene: np.ndarray,
    kind: np.ndarray,
    molecule: np.ndarray,
    p: ReadParameters,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Template and start of every read: one priming point a molecule, one fragment length a read."""
    n = len(gene)
    kind = np.where(kind == AMBIGUOUS, rng.choice([SPLICED, UNSPLICED], n, p=[0.75, 0.25]), kind) + 3 * (
        kind == AMBIGUOUS
    )
    tx_ptr = genome.tx_ptr()
    total = np.concatenate([[0.0], np.cumsum(genome.tx_weight)])
    u = total[tx_ptr[gene]] + rng.random(n) * (total[tx_ptr[gene + 1]] - total[tx_ptr[gene]])
    tx = np.clip(np.searchsorted(total, u, "right") - 1, tx_ptr[gene], tx_ptr[gene + 1] - 1)
    nascent = kind % 3 == UNSPLICED
    template = np.where(nascent, templates.n_transcripts + gene, tx)
    length = templates.length()
    point = length[template].copy()
    inside = ~nascent & (rng.random(n) < p.internal_priming)
    point[inside] = rng.integers(np.minimum(200, point[inside] - 1), point[inside])
    n_sites = np.diff(genome.site_ptr)
    primed = nascent & (n_sites[gene] > 0) & (rng.random(n) >= p.tail_priming)
    g = gene[primed]
    point[primed] = genome.sites[genome.site_ptr[g] + rng.integers(0, n_sites[g])]

    fragment = rng.normal(p.fragment_mean, p.fragment_sd, len(molecule))
    fragment = np.clip(fragment, READ_LENGTH, p.fragment_mean + 3 * p.fragment_sd).astype(np.int64)
    of_read = template[molecule]
    start = np.clip(point[molecule] - fragment, 0, length[of_read] - READ_LENGTH)

    regions, region_ptr = _disagreements(genome)
    n_regions = np.diff(region_ptr)
    told_apart = (kind >= 3) & (n_regions[gene] > 0)
    region = np.zeros(n, np.int64)
    g = gene[told_apart]
    region[told_apart] = region_ptr[g] + rng.integers(0, n_regions[g])
    reads = np.flatnonzero(told_apart[molecule])
    low, high = regions[region[molecule[reads]]].T
    of_read[reads] = templates.n_transcripts + gene[molecule[reads]]
    start[reads] = rng.integers(low, high - READ_LENGTH + 1)
    return of_read, start


def _disagreements(genome: Genome) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of pre-mRNA, a read long or more, wholly exon in one isoform and wholly intron in another.

    Returns (n, 2) bases from the gene's 5' end, and where each gene's begin.
    """
    found: list[tuple[int, int]] = []
    ptr = [0]
    tx_ptr = genome.tx_ptr()
    starts, ends = genome.genes["start"].to_numpy(), genome.genes["end"].to_numpy()
    forward = genome.genes["strand"].to_numpy() > 0
    for g in range(len(genome.genes)):
        if tx_ptr[g + 1] - tx_ptr[g] > 1:
            span = ends[g] - starts[g]
            exon, intron = np.zeros(span, bool), np.zeros(span, bool)
            for t in range(tx_ptr[g], tx_ptr[g + 1]):
                e = slice(genome.exon_ptr[t], genome.exon_ptr[t + 1])
                s, f = genome.exon_start[e] - starts[g], genome.exon_end[e] - starts[g]
                for a, b in zip(s, f, strict=True):
                    exon[a:b] = True
                for a, b in zip(f[:-1], s[1:], strict=True):
                    intron[a:b] = True
            both = np.diff(np.concatenate([[0], (exon & intron).astype(np.int8), [0]]))
            for a, b in zip(np.flatnonzero(both > 0), np.flatnonzero(both < 0), strict=True):
                if b - a >= READ_LENGTH:
                    found.append((int(a), int(b)) if forward[g] else (int(span - b), int(span - a)))
        ptr.append(len(found))
    return np.array(found, np.int64).reshape(-1, 2), np.array(ptr)


def _unique(genome: Genome, templates: Templates, gene: np.ndarray, blocks: Blocks) -> np.ndarray:
    """False for a read of a paralog whose bases are the same, throughout, in the copy."""
    unique = np.ones(len(gene), bool)
    table = genome.genes
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    for g, partner in enumerate(table["partner"].to_numpy()):
        if table["difficulty"].iat[g] != "paralog":
            continue
        sequences = [templates.sequences(np.array([templates.n_transcripts + x]), np.zeros(1, np.int64),
                                         int(end[x] - start[x]))[0] for x in (g, partner)]  # fmt: skip
        differs = (sequences[0] != sequences[1]).astype(np.int64)
        if table["strand"].iat[g] < 0:
            differs = differs[::-1]
        before = np.concatenate([[0], np.cumsum(differs)])
        reads = np.flatnonzero(gene == g)
        n = blocks.ptr[reads + 1] - blocks.ptr[reads]
        of = np.repeat(np.arange(len(reads)), n)
        b = np.repeat(blocks.ptr[reads], n) + np.arange(len(of)) - np.repeat(np.cumsum(n) - n, n)
        number = before[blocks.end[b] - start[g]] - before[blocks.start[b] - start[g]]
        unique[reads] = np.bincount(of, number, len(reads)) > 0
    return unique


def _intergenic(
    genome: Genome, templates: Templates, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Template and start of reads from the forward strand outside of all genes."""
    table, place = [], []
    for c, (name, sequence) in enumerate(genome.chromosomes.items()):
        free = np.ones(len(sequence), bool)
        for gene in genome.genes[genome.genes["chromosome"] == name].itertuples():
            free[gene.start : gene.end] = False
        before = np.concatenate([[0], np.cumsum(free)])
        starts = np.flatnonzero(before[READ_LENGTH:] - before[:-READ_LENGTH] == READ_LENGTH)
        table.append(np.full(len(starts), templates.n_transcripts + templates.n_genes + c))
        place.append(starts)
    template, start = np.concatenate(table), np.concatenate(place)
    chosen = rng.integers(0, len(start), n if len(start) else 0)
    return template[chosen], start[chosen]


def _first_reads(
    barcodes: list[str], barcode: np.ndarray, umis: np.ndarray, p: ReadParameters, rng: np.random.Generator
) -> np.ndarray:
    n = len(barcode)
    r1 = np.empty((n, LENGTH + UMI_LENGTH), np.uint8)
    r1[:, :LENGTH] = as_bytes(barcodes)[barcode]
    unlisted = np.flatnonzero(barcode < 0)
    r1[unlisted, :LENGTH] = as_text(rng.integers(0, 4**LENGTH, len(unlisted)), LENGTH)
    r1[:, LENGTH:] = umis
    for rate, low, high in ((p.barcode_error, 0, LENGTH), (p.umi_error, LENGTH, LENGTH + UMI_LENGTH)):
        wrong = np.flatnonzero((rng.random(n) < rate) & (barcode >= 0))
        at = rng.integers(low, high, len(wrong))
        r1[wrong, at] = substitute(r1[wrong, at], rng)
    return r1


def _second_reads(
    templates: Templates, template: np.ndarray, start: np.ndarray, p: ReadParameters, rng: np.random.Generator
) -> np.ndarray:
    r2 = templates.sequences(np.maximum(template, 0), start, READ_LENGTH)
    random = np.flatnonzero(template < 0)
    r2[random] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (len(random), READ_LENGTH))]
    flat = r2.reshape(-1)
    wrong = np.unique(rng.integers(0, flat.size, rng.binomial(flat.size, p.base_error)))
    flat[wrong] = substitute(flat[wrong], rng)
    return r2
