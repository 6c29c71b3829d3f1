"""Short rounds of the drills of `tests/drills/corpus*.py`; the long ones are run by hand (docs/data-format.md)."""

import pytest
from tests.drills.corpus import KINDS, drill
from tests.drills.corpus_kills import kill, make


def test_every_kind_of_corruption_is_found_and_named():
    assert [end for end in drill(2 * len(KINDS), seed=1) if end[1] != "named"] == []


@pytest.mark.slow
@pytest.mark.parametrize(("change", "at"), [("add", 2), ("remove", 4)])
def test_a_killed_change_leaves_a_version_and_ends_when_repeated(tmp_path, change, at):
    good, changes = make(tmp_path)
    assert kill(good, changes[change], at)
