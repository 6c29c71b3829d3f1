"""What the sequencer adds: barcodes and UMIs with errors, wrong bases, reads from nowhere."""

import numpy as np

from velocorpus.simulate.genome import Genome, substitute
from velocorpus.simulate.priming import READ_LENGTH, ReadParameters
from velocorpus.simulate.templates import Templates
from velocorpus.simulate.whitelist import LENGTH, as_bytes, as_text

UMI_LENGTH = 12


def draw_umis(cell: np.ndarray, rng: np.random.Generator) -> np.ndarray:
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


def draw_intergenic(
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


def first_reads(
    barcodes: list[str], barcode: np.ndarray, umis: np.ndarray, p: ReadParameters, rng: np.random.Generator
) -> np.ndarray:
    """R1 with errors: uint8 (n, 28), the 16 bases of the barcode (random ones where it is −1), then the UMI."""
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


def second_reads(
    templates: Templates, template: np.ndarray, start: np.ndarray, p: ReadParameters, rng: np.random.Generator
) -> np.ndarray:
    """R2 with errors, in sense of its template: uint8 (n, 91); random bases where the template is −1."""
    r2 = templates.sequences(np.maximum(template, 0), start, READ_LENGTH)
    random = np.flatnonzero(template < 0)
    r2[random] = np.frombuffer(b"ACGT", np.uint8)[rng.integers(0, 4, (len(random), READ_LENGTH))]
    flat = r2.reshape(-1)
    wrong = np.unique(rng.integers(0, flat.size, rng.binomial(flat.size, p.base_error)))
    flat[wrong] = substitute(flat[wrong], rng)
    return r2
