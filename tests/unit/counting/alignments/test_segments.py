"""CIGARs to segments, as velocyto cuts them."""

import numpy as np
import pysam
import pytest

from velocorpus.counting.alignments.segments import cut_segments


def cut(cigar, shift_by_clip=True):
    read = pysam.AlignedSegment()
    read.cigarstring = cigar
    words = np.array([length << 4 | operation for operation, length in read.cigartuples], dtype="<u4")
    first, last = np.empty(words.size, dtype=np.int64), np.empty(words.size, dtype=np.int64)
    n, skips = cut_segments(words.view(np.uint8), 0, words.size, 0, shift_by_clip, first, last)
    return list(zip(first[:n].tolist(), last[:n].tolist(), strict=True)), skips


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


def test_soft_clip_need_not_shift():
    assert cut("10S80M5S", shift_by_clip=False) == ([(0, 79)], False)
