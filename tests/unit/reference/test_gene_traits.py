import numpy as np
import pytest

from velocorpus.reference import gene_traits as traits
from velocorpus.reference.gtf import read_gtf


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
