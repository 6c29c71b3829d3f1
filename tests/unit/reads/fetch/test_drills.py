"""One short round of the drills of `tests/drills/fetch.py`; the long ones are run by hand (docs/fetch.md)."""

from dataclasses import replace

import pytest
from tests.drills.fetch import drills
from tests.drills.fetch_faults import ABSENT, KINDS, RIGHT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_file_ends_right_or_absent_with_a_reason():
    # Over HTTP and S3 in turn.
    kinds = tuple(replace(kind, schemes=(kind.schemes[i % len(kind.schemes)],)) for i, kind in enumerate(KINDS))
    rows = drills(n_faults=1, seed=7, kinds=kinds)
    assert [row.kind.name for row in rows if not row.faults.total()] == []
    assert [(row.kind.name, end) for row in rows for end in row.ends if end not in (RIGHT, ABSENT)] == []
