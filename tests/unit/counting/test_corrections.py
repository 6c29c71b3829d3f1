"""Each correction undoes one oddity of velocyto, and only when it is asked for."""

import pytest
from bam_makers import ReadSpec, transcript_lines, write_bam

from velocorpus.counting.corrections import CORRECTIONS, chosen_corrections
from velocorpus.counting.count import count_bam
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf

CELL = "AAAACCCC"
EXONS = [(1001, 1200), (2001, 2200), (3001, 3200)]


@pytest.fixture
def count(tmp_path):
    """Spliced, unspliced and ambiguous molecules of all genes, as velocyto counts and with one correction."""

    def run(correction, *reads, gtf=None, chromosomes=("1", "2")):
        (tmp_path / "genes.gtf").write_text(gtf or transcript_lines("G1", "T1", EXONS))
        bam = write_bam(tmp_path / "reads.bam", reads, chromosomes)
        models = read_gtf(tmp_path / "genes.gtf")
        return tuple(
            tuple(int(layer.sum()) for layer in count_bam(bam, models, [CELL], correct=chosen).layers.values())
            for chosen in (frozenset(), frozenset([correction]))
        )

    return run


def test_soft_clip_does_not_shift(count):
    assert count("soft_clip", ReadSpec(1150, "60S40M")) == ((0, 1, 0), (1, 0, 0))


def test_mitochondria_meet_by_their_name(count):
    gtf = transcript_lines("G1", "T1", EXONS) + transcript_lines("GM", "TM", EXONS, chromosome="chrM")
    reads = ReadSpec(1050, "90M"), ReadSpec(1050, "90M", umi="CCCC", chromosome="chrM")
    assert count("chromosome_names", *reads, gtf=gtf, chromosomes=("1", "chrM")) == ((1, 0, 0), (2, 0, 0))


def test_long_spans_count(count):
    gtf = transcript_lines("G1", "T1", [(1001, 1200), *((i * 900_000, i * 900_000 + 99) for i in range(1, 5))])
    reads = ReadSpec(1151, "50M898799N100M899900N100M899900N100M899900N40M")
    assert count("long_span", reads, gtf=gtf) == ((0, 0, 0), (1, 0, 0))


def test_long_introns_keep_the_transcript_whole(count):
    gtf = transcript_lines("G1", "T1", [(1001, 1200), (1_101_202, 1_101_400)])
    assert count("long_intron", ReadSpec(1050, "90M"), gtf=gtf) == ((0, 0, 0), (1, 0, 0))


def test_touching_exons_have_no_intron(count):
    gtf = transcript_lines("G1", "T1", [(1001, 1200), (1201, 1400)])
    assert count("touching_exons", ReadSpec(1150, "90M"), gtf=gtf) == ((0, 1, 0), (1, 0, 0))


@pytest.mark.parametrize("flag", [0x100, 0x200, 0x400, 0x800])
def test_flagged_alignments_do_not_count(count, flag):
    assert count("flags", ReadSpec(1050, "90M", flags=flag)) == ((1, 0, 0), (0, 0, 0))


def test_umis_with_n_do_not_count(count):
    assert count("odd_umis", ReadSpec(1050, "90M", umi="AANA")) == ((1, 0, 0), (0, 0, 0))


def test_all_corrections_at_once():
    assert chosen_corrections("none", ()) == frozenset(CORRECTIONS)


@pytest.mark.parametrize(("compat", "names"), [("loose", ()), ("velocyto", ("speling",))])
def test_unknown_corrections_are_refused(compat, names):
    with pytest.raises(UserMistake, match="allowed:"):
        chosen_corrections(compat, names)
