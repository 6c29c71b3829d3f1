"""A short round of the drill of `tests/drills/corpus.py`; the long one is run by hand (docs/data-format.md)."""

from tests.drills.corpus import KINDS, drill


def test_every_kind_of_corruption_is_found_and_named():
    assert [end for end in drill(2 * len(KINDS), seed=1) if end[1] != "named"] == []
