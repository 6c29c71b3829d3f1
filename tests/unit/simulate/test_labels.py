"""velocyto's Permissive10X logic on a genome of three genes, each case decided by hand."""

import numpy as np
import pandas as pd
import pytest

from velocorpus.simulate.genome import Genome
from velocorpus.simulate.labels import candidates, label_molecules
from velocorpus.simulate.templates import Blocks

SPLICED, UNSPLICED, AMBIGUOUS, UNCOUNTED = 0, 1, 2, 3


def toy_genome() -> Genome:
    """Gene A, forward: exons 100-400, 1000-1200, 2000-2500; its second isoform ends in 1000-1500. Gene B, reverse,
    one exon 3000-3600. Gene C, forward, one exon 600-900 inside A's first intron.
    """
    rng = np.random.default_rng(0)
    genes = pd.DataFrame(
        {
            "symbol": ["A", "B", "C"],
            "chromosome": "1",
            "strand": [1, -1, 1],
            "start": [100, 3000, 600],
            "end": [2500, 3600, 900],
            "difficulty": ["isoforms", "one_exon", "overlap_same_strand"],
            "partner": [2, -1, 0],
            "biotype": "protein_coding",
        },
        index=pd.Index(["G1", "G2", "G3"], name="gene_id"),
    )
    return Genome(
        chromosomes={"1": rng.choice(np.frombuffer(b"ACGT", np.uint8), 4000)},
        genes=genes,
        tx_id=["A1", "A2", "B1", "C1"],
        tx_gene=np.array([0, 0, 1, 2]),
        tx_weight=np.array([0.7, 0.3, 1.0, 1.0]),
        exon_ptr=np.array([0, 3, 5, 6, 7]),
        exon_start=np.array([100, 1000, 2000, 100, 1000, 3000, 600]),
        exon_end=np.array([400, 1200, 2500, 400, 1500, 3600, 900]),
        site_ptr=np.array([0, 1, 1, 1]),
        sites=np.array([800]),
    )


def label(*molecules: list[list[tuple[int, int]]], gene: int = 0, neighbours: bool = False) -> list[int]:
    """Classes of molecules of one gene; a molecule is a list of reads, a read a list of blocks."""
    reads = [read for molecule in molecules for read in molecule]
    blocks = [block for read in reads for block in read]
    genome = toy_genome()
    labels, _ = label_molecules(
        genome,
        molecule=np.repeat(np.arange(len(molecules)), [len(m) for m in molecules]),
        gene=np.full(len(reads), gene),
        blocks=Blocks(
            np.concatenate([[0], np.cumsum([len(read) for read in reads])]),
            np.array([start for start, _ in blocks]),
            np.array([end for _, end in blocks]),
        ),
        unique=np.ones(len(reads), bool),
        n_molecules=len(molecules),
        among=candidates(genome, neighbours=neighbours),
    )
    return [int(x) for x in labels]


@pytest.mark.parametrize(
    ("case", "molecule", "expected"),
    [
        ("last exon of the first isoform", [[(2100, 2191)]], SPLICED),
        ("junction", [[(350, 400), (1000, 1041)]], SPLICED),
        ("intron", [[(1600, 1691)]], UNSPLICED),
        ("exon and intron across their border", [[(350, 441)]], UNSPLICED),
        ("five bases into the intron are none", [[(314, 405)]], SPLICED),
        ("ten bases into the intron are", [[(319, 410)]], UNSPLICED),
        ("exon of one isoform, intron of the other", [[(1300, 1391)]], AMBIGUOUS),
        ("ambiguous read, and one in the other isoform's exon", [[(1300, 1391)], [(2100, 2191)]], UNSPLICED),
        ("ambiguous read, and one in an exon of both", [[(1300, 1391)], [(150, 241)]], AMBIGUOUS),
        ("exonic read, and one across a border", [[(150, 241)], [(350, 441)]], UNSPLICED),
        ("exonic read, and one in the intron", [[(150, 241)], [(500, 591)]], UNSPLICED),
    ],
)
def test_class_of_a_molecule(case: str, molecule: list[list[tuple[int, int]]], expected: int) -> None:
    assert label(molecule) == [expected], case


def test_a_gene_of_one_exon_is_always_spliced() -> None:
    assert label([[(3100, 3191)]], [[(3000, 3091)]], gene=1) == [SPLICED, SPLICED]


def test_a_read_that_fits_two_genes_is_uncounted_among_neighbours_only() -> None:
    inside_both = [[(700, 791)]]
    assert label(inside_both, gene=2) == [SPLICED]
    assert label(inside_both, gene=2, neighbours=True) == [UNCOUNTED]


def test_a_splice_that_no_isoform_has_fits_nothing() -> None:
    assert label([[(150, 200), (2100, 2141)]]) == [UNCOUNTED]
