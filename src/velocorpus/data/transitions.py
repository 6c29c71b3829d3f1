"""Pairs of cells of one study, one a step of pseudotime after the other: what the generative decoder learns from.

`step` is a share of the study's whole time span, so that it needs no hours. `velocity.transitions` makes the pairs.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import feather

from velocorpus import names
from velocorpus.corpus.vocabulary import read_table
from velocorpus.errors import UserMistake
from velocorpus.files import replacing

CELL = "cell_id"
NEXT = "next_id"
STEP = "step"
SCHEMA = pa.schema([(CELL, pa.string()), (NEXT, pa.string()), (names.STUDY, pa.string()), (STEP, pa.float32())])

# Steps that pairs are drawn from, and so the steps that a trained decoder can take.
STEPS = (0.05, 0.25)


def write_transitions(path: Path | str, table: pa.Table) -> None:
    """Write pairs as Feather, whole or not at all."""
    with replacing(path) as aside:
        feather.write_feather(table, str(aside), compression="zstd")


def read_transitions(paths: Sequence[Path | str]) -> pa.Table:
    """Read the pairs of several studies as one table; refuses a file that holds none."""
    tables = []
    for path in paths:
        table = read_table(path, "table of transitions")
        if table.schema.remove_metadata() != SCHEMA:
            raise UserMistake(
                f"{path} holds {table.column_names}, a table of transitions has {SCHEMA.names}; make it again."
            )
        tables.append(table)
    return pa.concat_tables(tables)
