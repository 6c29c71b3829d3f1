"""A CIGAR as the aligned segments that velocyto makes of it."""

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.alignments.words import read_int32

PATCHED_INDEL = 3  # an insertion or deletion up to this length does not split a segment
# CIGAR operations as BAM numbers them.
_MATCH, _INSERTION, _DELETION, _SKIP, _SOFT_CLIP = 0, 1, 2, 3, 4
_SAME, _DIFFERENT = 7, 8


@compiled
def cut_segments(text, at, n_operations, position, shift_by_clip, first, last):  # type: ignore[no-untyped-def]
    """Write the segments of a read at `position` to `first` and `last` (int64, `n_operations` long at least).

    The CIGAR is `n_operations` uint32 from byte `at` of `text`. Returns the number of segments, and whether the read
    skips reference (N). Insertions and deletions up to 3 bases between two matches are patched; longer deletions
    split. With `shift_by_clip`, as in velocyto, a leading soft clip of 10 moves the read 10 bases downstream of where
    it aligned. Unlike velocyto, which has no segments for them and stops, `=` and `X` are matches; an insertion or
    deletion before the first match is not patched.
    """
    n = 0
    skips = False
    joins = False
    here = np.int64(position)
    before = np.int64(-1)
    for i in range(n_operations):
        element = read_int32(text, at + 4 * i) & 0xFFFFFFFF
        operation, length = element & 15, element >> 4
        if _is_match(operation):
            if joins or (_is_match(before) and (before != _MATCH or operation != _MATCH)):
                last[n - 1] = here + length - 1
            else:
                first[n] = here
                last[n] = here + length - 1
                n += 1
            here += length
        elif operation == _SKIP:
            skips = True
            here += length
        elif operation == _DELETION or (operation == _SOFT_CLIP and shift_by_clip):
            here += length
        joins = operation in (_INSERTION, _DELETION) and length <= PATCHED_INDEL and _is_match(before)
        before = operation
    return n, skips


@compiled
def _is_match(operation):  # type: ignore[no-untyped-def]
    return operation in (_MATCH, _SAME, _DIFFERENT)
