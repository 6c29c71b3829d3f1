"""A few of the drills of `tests/drills/publish.py`; the long ones are run by hand (docs/publish.md)."""

import pytest
from tests.drills.publish import KINDS, RIGHT, drills

SHORT = (
    "publish: done, but the answer lost",
    "publish: a byte of the request changed",
    "publish: process killed one to three times, then again",
    "publish: watched by a reader over broken connections",
    "publish: two corpora at once",
    "pull: a byte changed on the way",
    "pull of a part: process killed once or twice, then again",
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_object_is_lost_or_wrong_and_no_reader_misled():
    rows = drills(n_faults=1, seed=3, kinds=tuple(kind for kind in KINDS if kind.name in SHORT))
    assert [row.kind.name for row in rows if not row.faults] == []
    assert [(row.kind.name, end) for row in rows for end in row.ends if end != RIGHT] == []
    assert len(rows) == len(SHORT)
