"""The repeat mask by hand: what velocyto makes of the lines, and the mask as it is written."""

import numpy as np
import pytest
from bam_makers import ReadSpec, gtf_line, transcript_lines, write_bam

from velocorpus.counting.count import count_bam
from velocorpus.counting.mask import masked, no_mask, read_mask
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf

CHROMOSOMES = {"1": 0, "2": 1}
# Velocyto loses the first and the last interval of a strand, and all of the last chromosome.
AROUND = [(1, 2), (90_000, 90_010), (91_000, 91_010)]


def repeat(start, end, strand="+", chromosome="1"):
    return gtf_line("R", "R", start, end, 1, strand, chromosome)


@pytest.fixture
def read(tmp_path):
    def run(*lines, **options):
        path = tmp_path / "repeats.gtf"
        path.write_text("# repeats\n" + "".join(lines))
        return read_mask(path, CHROMOSOMES, **options)

    return run


def among_others(*places, strand="+"):
    return [repeat(a, b, strand) for a, b in (*AROUND, *places)] + [repeat(1, 2, "+", "9")]


def is_masked(mask, *segments, group=0):
    first, last = np.array(segments).T
    return bool(masked(group, 0, first, last, 0, first.size, mask.arrays))


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([(1000, 1100)], True),
        ([(995, 1105)], True),  # five bases may stick out
        ([(994, 1100)], False),
        ([(1000, 1106)], False),
        ([(1010, 1016)], True),
        ([(1010, 1015)], False),  # of six bases: too short
        ([(1010, 1040), (1060, 1090)], True),
        ([(1010, 1040), (5010, 5040)], True),  # each in some interval
        ([(1010, 1040), (3010, 3040)], False),
    ],
)
def test_read_is_masked_if_every_segment_is(read, segments, expected):
    assert is_masked(read(*among_others((1000, 1100), (5000, 5100))), *segments) == expected


def test_mask_is_of_one_strand(read):
    mask = read(*among_others((1000, 1100), strand="-"), repeat(1, 2, "+"))
    assert [is_masked(mask, (1010, 1090), group=group) for group in (0, 1)] == [False, True]


@pytest.mark.parametrize(("gap", "expected"), [(5, True), (6, False)])
@pytest.mark.parametrize("whole", [False, True])
def test_close_repeats_are_merged(read, whole, gap, expected):
    mask = read(*among_others((1000, 1100), (1100 + gap, 1200)), whole=whole)
    assert is_masked(mask, (1050, 1150)) == expected


def test_repeat_inside_another_cuts_it_short_unless_whole(read):
    lines = among_others((1000, 2000), (1100, 1200))
    assert not is_masked(read(*lines), (1500, 1590))
    assert is_masked(read(*lines, whole=True), (1500, 1590))


def test_last_chromosome_and_strand_masks_only_if_whole(read):
    lines = [repeat(a, b) for a, b in (*AROUND, (1000, 1100))]
    assert not is_masked(read(*lines), (1010, 1090))
    assert is_masked(read(*lines, whole=True), (1010, 1090))


def test_last_repeat_of_a_strand_masks_only_if_whole(read):
    lines = among_others((99_000, 99_100))
    assert not is_masked(read(*lines), (99_010, 99_090))
    assert is_masked(read(*lines, whole=True), (99_010, 99_090))


def test_repeat_without_strand_masks_both_if_whole(read):
    mask = read(*among_others((1000, 1100), strand="."), whole=True)
    assert [is_masked(mask, (1010, 1090), group=group) for group in (0, 1, 2)] == [True, True, False]


def test_repeats_elsewhere_than_in_the_gtf_are_told(read):
    assert read(*among_others((1000, 1100))).notes == (
        "1 of the 5 intervals to mask are on chromosomes that the GTF does not have",
    )


def test_names_meet_exactly_first_when_asked(tmp_path):
    path = tmp_path / "repeats.gtf"
    path.write_text(repeat(1000, 1100, chromosome="chrM"))
    mask = read_mask(path, {"chr1": 0, "chrM": 1}, exact_names=True, whole=True)
    assert is_masked(mask, (1010, 1090), group=2)


def test_digest_is_of_what_is_masked(read):
    lines = among_others((1000, 1100))
    assert read(*lines).digest() == read(*lines[::-1]).digest() != read(*among_others((1000, 1101))).digest()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("1\tx\n",), "line 2, has 2 columns"),
        ((), "no intervals to mask"),
        ((repeat(20, 10),), "line 2: a repeat from 20 to 10"),
        ((repeat(10, 20, chromosome="III"),), "none of its chromosomes"),
    ],
)
def test_what_is_no_mask_is_refused(read, lines, words):
    with pytest.raises(UserMistake, match=words):
        read(*lines)


def test_masked_read_leaves_its_molecule_and_still_validates(tmp_path, read):
    gtf = tmp_path / "genes.gtf"
    gtf.write_text(transcript_lines("G1", "T1", [(1001, 1200), (2001, 2200)]))
    # The first spans the intron's boundary; the second is of the same molecule.
    reads = [ReadSpec(1180, "50M"), ReadSpec(1050, "90M"), ReadSpec(1500, "90M", umi="CCCC")]
    bam = write_bam(tmp_path / "reads.bam", reads)
    mask = read(*among_others((1150, 1300)))
    counts = count_bam(bam, read_gtf(gtf), ("AAAACCCC",), logic="validatedintrons10x", mask=mask)
    assert [int(counts.layers[layer].sum()) for layer in ("spliced", "unspliced")] == [1, 1]
    assert counts.qc["reads"]["in_masked_repeat"] == 1


def test_no_mask_masks_nothing():
    assert not is_masked(no_mask(4), (1010, 1090), group=3)
