"""Where reads begin: priming points of molecules, fragments that end there, and the rates of it all."""

from dataclasses import dataclass

import numpy as np

from velocorpus.simulate import gene_models as gm
from velocorpus.simulate.genome import Genome
from velocorpus.simulate.labels import AMBIGUOUS, UNSPLICED
from velocorpus.simulate.templates import Blocks, Templates

READ_LENGTH = 91


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
    unlisted: float = 0.005  # reads whose barcode is on no list, beside the molecules' own
    intergenic: float = 0.01  # reads from outside genes, beside the molecules' own
    unmappable: float = 0.01  # reads of random sequence


def draw_positions(
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
    untold = kind == AMBIGUOUS
    # A gene whose isoforms agree has no ambiguous place: its molecules are then mature three times in four.
    nascent = (kind == UNSPLICED) | (untold & (rng.random(n) < 0.25))
    tx_ptr = genome.tx_ptr()
    total = np.concatenate([[0.0], np.cumsum(genome.tx_weight)])
    u = total[tx_ptr[gene]] + rng.random(n) * (total[tx_ptr[gene + 1]] - total[tx_ptr[gene]])
    tx = np.clip(np.searchsorted(total, u, "right") - 1, tx_ptr[gene], tx_ptr[gene + 1] - 1)
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

    regions, region_ptr = disagreements(genome)
    n_regions = np.diff(region_ptr)
    told_apart = untold & (n_regions[gene] > 0)
    region = np.zeros(n, np.int64)
    g = gene[told_apart]
    region[told_apart] = region_ptr[g] + rng.integers(0, n_regions[g])
    reads = np.flatnonzero(told_apart[molecule])
    low, high = regions[region[molecule[reads]]].T
    of_read[reads] = templates.n_transcripts + gene[molecule[reads]]
    start[reads] = rng.integers(low, high - READ_LENGTH + 1)
    return of_read, start


def disagreements(genome: Genome) -> tuple[np.ndarray, np.ndarray]:
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


def only_here(genome: Genome, templates: Templates, gene: np.ndarray, blocks: Blocks) -> np.ndarray:
    """False for a read of a paralog whose bases are the same, throughout, in the copy."""
    unique = np.ones(len(gene), bool)
    table = genome.genes
    start, end = table["start"].to_numpy(), table["end"].to_numpy()
    for g, partner in enumerate(table["partner"].to_numpy()):
        if table["difficulty"].iat[g] != gm.PARALOG:
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
