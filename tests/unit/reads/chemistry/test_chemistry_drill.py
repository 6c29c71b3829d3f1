"""A short run of the drill: damaged libraries of every kind are never given a chemistry with confidence."""

import pytest
from libraries import LISTS
from tests.drills.chemistry import UNUSABLE, Drill, is_wrong

from velocorpus.reads.chemistry.verdict import Verdict
from velocorpus.simulate.libraries import KINDS


@pytest.fixture(scope="module")
def drill():
    return Drill(0, [one for one in LISTS.values() if one.name != "10xv3_5p"])


@pytest.mark.parametrize("damage", UNUSABLE)
def test_no_damaged_library_is_told_wrong(drill, damage):
    for kind in KINDS:
        verdict, _ = drill.case(kind, 400, 0.02, damage)
        assert not is_wrong(kind, damage, verdict), (kind, verdict.chemistry, verdict.reasons)


def test_the_drill_sees_a_wrong_verdict():
    def said(chemistry, organism="human", state="confident"):
        return Verdict(state, chemistry, "", (), organism=organism)

    assert is_wrong("10xv2", "whole", said("10xv3"))
    assert is_wrong("10xv2", "whole", said("10xv2", "mouse"))
    assert is_wrong("10xv2", "cut_read1", said("10xv2"))
    assert is_wrong("unlisted", "whole", said("10xv3"))
    assert not is_wrong("10xv2", "whole", said("10xv2", None))
    assert not is_wrong("10xv2", "whole", said(None, state="unclear"))
