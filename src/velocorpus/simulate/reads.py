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
from velocorpus.errors import UserMistake
from velocorpus.simulate.genome import Genome
from velocorpus.simulate.labels import (
    AMBIGUOUS,
    SPLICED,
    UNCOUNTED,
    UNSPLICED,
    candidates,
    label_molecules,
)
from velocorpus.simulate.priming import READ_LENGTH, ReadParameters, draw_positions, only_here
from velocorpus.simulate.sequencing import (
    UMI_LENGTH,
    draw_intergenic,
    draw_umis,
    first_reads,
    second_reads,
)
from velocorpus.simulate.templates import Blocks, Templates, make_templates
from velocorpus.simulate.whitelist import as_text

LAYER_OF = {SPLICED: names.SPLICED, UNSPLICED: names.UNSPLICED, AMBIGUOUS: names.AMBIGUOUS}


@dataclass(frozen=True)
class ReadSet:
    """Reads of one sample in random order, and the molecules that they come from.

    Per read: `molecule` (−1 for noise and for an unlisted barcode), `template` (−1 for random sequence), `start` on
    it, `barcode` (row of `barcodes`, −1 unlisted), `unique` (False where a paralog has the very same bases); as ASCII
    bases the barcode and UMI `r1` (n, 28) with errors, the true `umi` (n, 12), and `r2` (n, 91) with errors. Per
    molecule: `cell` (row of `barcodes`; the first `n_cells` are cells, the rest empty droplets), `gene`, `ambient`,
    `label` and, as velocyto's logic counts them, `exact` and `exact_gene`, which differ where genes of one strand
    overlap or reads fit a paralog too.
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
    all_barcodes = [*barcodes, *_empty_barcodes(barcodes, whitelist, p.empty_droplets, rng)]
    umi = draw_umis(cell, rng)

    molecule = np.repeat(np.arange(len(cell)), 1 + rng.poisson(p.extra_reads, len(cell)))
    template, start = draw_positions(genome, templates, gene, kind, molecule, p, rng)
    order = rng.permutation(len(molecule))
    molecule, template, start = molecule[order], template[order], start[order]
    blocks = templates.blocks(template, start, READ_LENGTH)
    unique = only_here(genome, templates, gene[molecule], blocks)

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

    n = rng.poisson(len(molecule) * np.array([p.unlisted, p.intergenic, p.unmappable]))
    again = rng.integers(0, max(len(molecule), 1), n[0])
    place = draw_intergenic(genome, templates, int(n[1]), rng)
    barcode = np.concatenate([cell[molecule], np.full(n[0], -1), rng.integers(0, len(all_barcodes), n[1] + n[2])])
    umis = as_text(np.concatenate([umi[molecule], rng.integers(0, 4**UMI_LENGTH, n.sum())]), UMI_LENGTH)
    unique = np.concatenate([unique, unique[again], np.ones(n[1] + n[2], bool)])
    template = np.concatenate([template, template[again], place[0], np.full(n[2], -1)])
    start = np.concatenate([start, start[again], place[1], np.zeros(n[2], np.int64)])
    molecule = np.concatenate([molecule, np.full(n.sum(), -1)])
    order = rng.permutation(len(molecule))
    molecule, template, start = molecule[order], template[order], start[order]
    barcode, umis = barcode[order], umis[order]
    return ReadSet(
        templates=templates,
        barcodes=all_barcodes,
        n_cells=len(barcodes),
        molecule=molecule,
        template=template,
        start=start,
        barcode=barcode,
        unique=unique[order],
        r1=first_reads(all_barcodes, barcode, umis, p, rng),
        umi=umis,
        r2=second_reads(templates, template, start, p, rng),
        cell=cell,
        gene=gene,
        label=labels,
        exact=exact,
        exact_gene=exact_gene,
        ambient=ambient,
        blocks=templates.blocks(np.where(template < 0, len(templates.gene) - 1, template), start, READ_LENGTH),
    )


def _empty_barcodes(barcodes: list[str], whitelist: list[str], n: int, rng: np.random.Generator) -> list[str]:
    if missing := set(barcodes) - set(whitelist):
        raise UserMistake(
            f"{len(missing)} cell barcodes (first: {min(missing)}) are not on the whitelist; draw them from it."
        )
    others = np.array(sorted(set(whitelist) - set(barcodes)), dtype=object)
    if n > len(others):
        raise UserMistake(
            f"{n} empty droplets need as many barcodes, the whitelist has {len(others)} beside the cells'."
        )
    return [str(b) for b in rng.choice(others, n, replace=False)]


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
