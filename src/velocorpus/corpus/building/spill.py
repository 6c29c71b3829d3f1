"""Encoded cells waiting on disk to be shuffled: memory grows by some 300 bytes a cell, not by the cell's 6 kB.

A nameless file holds each cell's rows of bytes one after another, so that a cell is one read wherever it comes out. A
kill leaves nothing behind.
"""

import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus import content, schema
from velocorpus.corpus.content import Lanes
from velocorpus.corpus.encoding import EncodedLayer, Rows, join_rows, take_rows

_WIDTH = len(schema.LAYER_FIELDS)


class Spill(AbstractContextManager["Spill"]):
    """Cells of one shard in the order that they were added in; `digest` is their content sum."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed on exit
        self._ends: list[NDArray[np.int64]] = [np.zeros(1, np.int64)]
        self._obs = [pa.schema(schema.OBS_FIELDS).empty_table()]
        self.digest = content.add([])

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, obs: pa.Table, layers: dict[str, EncodedLayer], digest: Lanes) -> None:
        """Add cells: their columns, their rows of bytes by layer, their content sum."""
        n = obs.num_rows
        assert n, "there are cells to add"
        joined = join_rows([rows for layer in names.LAYERS for rows in layers[layer]])
        cell_by_cell = take_rows(joined, np.arange(_WIDTH * n).reshape(_WIDTH, n).T.ravel())
        self._file.write(cell_by_cell.bytes.data)
        self._ends.append(self._ends[-1][-1] + cell_by_cell.offsets[1:])
        self._obs.append(obs)
        self.digest = content.add([self.digest, digest])

    def cells(self) -> tuple[pa.Table, NDArray[np.int64]]:
        """All cells' columns, and where each of their rows of bytes begins."""
        self._file.flush()
        return pa.concat_tables(self._obs).combine_chunks(), np.concatenate(self._ends)

    def take(self, starts: NDArray[np.int64], cells: NDArray[np.int64]) -> list[Rows]:
        """The rows of bytes of some cells, in their order: one `Rows` for each column of `schema.LAYER_FIELDS`."""
        ends = np.stack([starts[cells * _WIDTH + i] for i in range(_WIDTH + 1)], axis=1)
        sizes = ends[:, -1] - ends[:, 0]
        at = np.concatenate([[0], np.cumsum(sizes)])
        raw = np.empty(at[-1], np.uint8)
        view = raw.data
        for i in range(len(cells)):
            n_read = os.preadv(self._file.fileno(), [view[at[i] : at[i + 1]]], ends[i, 0])
            assert n_read == sizes[i], "what was written comes back whole"
        offsets = np.append((ends[:, :-1] - ends[:, :1] + at[:-1, None]).ravel(), at[-1])
        return [
            take_rows(Rows(raw, offsets), np.arange(column, _WIDTH * len(cells), _WIDTH)) for column in range(_WIDTH)
        ]
