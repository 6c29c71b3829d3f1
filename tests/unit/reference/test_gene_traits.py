import numpy as np
import pytest

from velocorpus.reference import gene_traits as traits
from velocorpus.reference.genome import read_genome
from velocorpus.reference.gtf import read_gtf
from velocorpus.simulate import gene_models as gm
from velocorpus.simulate.genes import choose
from velocorpus.simulate.genome import make_genome
from velocorpus.simulate.reference_files import write_fasta, write_gtf


@pytest.fixture
def told(tmp_path):
    """Traits of genes given as {gene: [transcript, ...]}, a transcript as (strand, [(start, end), ...])."""

    def run(genes, genome=None):
        lines = []
        for gene, transcripts in genes.items():
            for t, (strand, exons) in enumerate(transcripts):
                lines += [
                    f'1\tx\texon\t{start}\t{end}\t.\t{strand}\t.\tgene_id "{gene}"; transcript_id "{gene}.{t}";'
                    for start, end in exons
                ]
        (tmp_path / "genes.gtf").write_text("\n".join(lines) + "\n")
        return traits.gene_traits(read_gtf(tmp_path / "genes.gtf"), genome)

    return run


PLAIN = [("+", [(1001, 1100), (2001, 2100)])]


def test_a_gene_by_itself_has_no_trait(told):
    assert told({"A": PLAIN, "B": [("+", [(3001, 3100), (3201, 3300)])]}) == {"A": (), "B": ()}


def test_a_gene_in_the_intron_of_another_makes_both_overlap(told):
    found = told({"A": PLAIN, "B": [("+", [(1301, 1400), (1501, 1600)])], "C": [("+", [(2101, 2200), (2301, 2400)])]})
    assert found == {"A": (traits.OVERLAP,), "B": (traits.OVERLAP,), "C": ()}


def test_antisense_is_the_other_strand_only(told):
    found = told({"A": PLAIN, "B": [("-", [(2050, 2150), (2401, 2500)])]})
    assert found == {"A": (traits.ANTISENSE,), "B": (traits.ANTISENSE,)}


def test_exons_that_abut_have_no_intron_between_them(told):
    frameshift = ("+", [(1001, 1100), (1101, 1200), (2001, 2100)])
    assert told({"A": [frameshift, ("+", [(1050, 1200), (2001, 2100)])]})["A"] == ()
    assert told({"B": [("+", [(1001, 1100), (1101, 1200)])]})["B"] == (traits.SINGLE_EXON,)


def test_a_retained_intron_is_a_disagreement_of_isoforms_and_a_second_start_is_not(told):
    retained = [*PLAIN, ("+", [(1001, 2100)])]
    assert told({"A": retained})["A"] == (traits.ISOFORMS,)
    assert told({"A": [*PLAIN, ("+", [(1051, 1100), (2001, 2100)])]})["A"] == ()


def test_a_gene_of_one_exon_is_told(told):
    assert told({"A": [("+", [(1001, 1100)])]})["A"] == (traits.SINGLE_EXON,)


def test_the_same_coordinates_of_two_genes_far_apart_do_not_meet(told):
    found = told({f"G{i}": [("+", [(10_000 * i + 1, 10_000 * i + 100), (10_000 * i + 201, 10_000 * i + 300)])]
                  for i in range(50)})  # fmt: skip
    assert set(found.values()) == {()}


def test_genes_with_one_sequence_share_it_whichever_strand(told):
    rng = np.random.default_rng(1)
    bases = "".join(rng.choice(list("ACGT"), 9000))
    copy = bases[1000:1400][::-1].translate(str.maketrans("ACGT", "TGCA"))
    genome = {"1": bytearray((bases[:5000] + copy + bases[5400:]).encode())}
    genes = {
        "A": [("+", [(1001, 1400), (2001, 2100)])],
        "B": [("+", [(5001, 5400), (5601, 5700)])],
        "C": [("+", [(7001, 7400), (7601, 7700)])],
    }
    assert told(genes, genome) == {"A": (traits.SHARED,), "B": (traits.SHARED,), "C": ()}
    assert told(genes) == {"A": (), "B": (), "C": ()}


def test_exons_that_lie_over_each_other_are_an_overlap_and_no_copy(told):
    genome = {"1": bytearray("".join(np.random.default_rng(1).choice(list("ACGT"), 3000)).encode())}
    found = told({"A": PLAIN, "B": [("+", [(1001, 1100), (2201, 2300)])]}, genome)
    assert found == {"A": (traits.OVERLAP,), "B": (traits.OVERLAP,)}


def test_every_gene_of_the_simulator_has_the_trait_of_its_difficulty_and_no_other(tmp_path):
    genome = make_genome(choose(120), rng=np.random.default_rng(3))
    write_fasta(tmp_path / "genome.fa.gz", genome)
    write_gtf(tmp_path / "genes.gtf.gz", genome)
    found = traits.gene_traits(read_gtf(tmp_path / "genes.gtf.gz"), read_genome(tmp_path / "genome.fa.gz"))
    trait_of = {
        gm.SAME_STRAND: traits.OVERLAP, gm.PARALOG: traits.SHARED, gm.ANTISENSE: traits.ANTISENSE,
        gm.ONE_EXON: traits.SINGLE_EXON, gm.ISOFORMS: traits.ISOFORMS,
    }  # fmt: skip
    for gene, difficulty in genome.genes["difficulty"].items():
        # The simulator makes some genes of a same-strand pair of one exon, and some isoforms with other ends only.
        told = set(found[gene]) - ({traits.SINGLE_EXON} if difficulty == gm.SAME_STRAND else set())
        expected = {trait_of[difficulty]} if difficulty in trait_of else set()
        assert told == expected or (difficulty == gm.ISOFORMS and not told), gene
