"""All rows above one are few blocks, which hold each of them once."""

import pytest

from velocorpus.reads.chemistry.blocks import blocks_before, parts_of


def rows_of(size, number):
    return [number] if size == 1 else [row for part in parts_of(size, number) for row in rows_of(*part)]


@pytest.mark.parametrize("row", [0, 1, 15, 16, 17, 255, 256, 257, 300, 4099])
def test_blocks_hold_every_row_above_once_and_in_order(row):
    assert [above for block in blocks_before(row) for above in rows_of(*block)] == list(range(row))


def test_thousands_of_rows_are_tens_of_blocks():
    assert max(len(blocks_before(row)) for row in range(4096)) == 45


@pytest.mark.parametrize("row", [20, 300, 4000])
def test_a_block_that_one_row_needs_is_whole_before_any_row_below(row):
    assert all((number + 1) * size <= row for size, number in blocks_before(row))
