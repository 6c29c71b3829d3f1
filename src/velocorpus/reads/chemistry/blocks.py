"""Rows of a table in blocks, so that all rows above one are few files: no sample of thousands names thousands."""

SIDE = 16


def blocks_before(row: int) -> list[tuple[int, int]]:
    """The fewest blocks that hold rows 0 to `row` - 1, each once and in order, as (size, number).

    Block `number` of `size` holds `size` rows from `number * size` on; sizes are 256, 16 and 1, a row itself.
    """
    found, done = [], 0
    for size in (SIDE * SIDE, SIDE, 1):
        found += [(size, number) for number in range(done // size, row // size)]
        done = row // size * size
    return found


def parts_of(size: int, number: int) -> list[tuple[int, int]]:
    """The blocks of which a block of more than one row is made."""
    return [(size // SIDE, part) for part in range(number * SIDE, (number + 1) * SIDE)]
