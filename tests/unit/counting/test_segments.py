"""CIGARs to segments, as velocyto cuts them."""

import pysam
import pytest

from velocorpus.counting.alignments import segments_of


def cut(cigar):
    read = pysam.AlignedSegment()
    read.cigarstring = cigar
    return segments_of(read.cigartuples)


@pytest.mark.parametrize(
    ("cigar", "segments", "skips"),
    [
        ("90M", [(0, 89)], False),
        ("40M100N50M", [(0, 39), (140, 189)], True),
        ("40M3D50M", [(0, 92)], False),
        ("40M4D50M", [(0, 39), (44, 93)], False),
        ("40M2I50M", [(0, 89)], False),
        ("40M4I50M", [(0, 39), (40, 89)], False),
        ("10M1I10M1D10M", [(0, 30)], False),
        ("10S80M", [(10, 89)], False),
        ("80M10S", [(0, 79)], False),
        ("5H80M5H", [(0, 79)], False),
        ("40M2D100N50M", [(0, 39), (142, 191)], True),
        ("30=1X59=", [(0, 89)], False),
        ("20M1D20M500N20M2I20M", [(0, 40), (541, 580)], True),
    ],
)
def test_segments(cigar, segments, skips):
    assert cut(cigar) == (segments, skips)
