"""A short run of the fuzz target; the long one is by hand, see docs/fuzz.md."""

import pytest
from tests.fuzz.count import main


@pytest.mark.parametrize(
    ("cases", "bounds_every"), [(2_500, 0), pytest.param(1_000, 1, marks=pytest.mark.slow, id="bounds checked")]
)
def test_damaged_input_is_refused_or_read_as_htslib_reads_it(capfd, cases, bounds_every):
    failed = main(["--cases", str(cases), "--seed", "0", "--bounds-every", str(bounds_every)])
    assert not failed, capfd.readouterr().out
