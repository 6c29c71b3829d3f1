"""Shuffled batches of a corpus, streamed from its shards: every cell exactly once an epoch, and resumable
at any batch.

The stream of an epoch is fixed by the seed alone: the blocks (record batches) of all shards are shuffled,
taken in windows of `window_blocks`, and the cells of a window are shuffled. A cell can therefore meet only
cells of its own window in a batch (16 blocks are 16,384 cells): that is the price for reading compressed
shards in order. Batches are cut from the endless stream of epochs, so each is full; the one at an epoch's
border holds the end of one and the start of the next. Of `world_size` ranks, rank r takes every batch whose
number is r modulo `world_size`.

A window stays encoded in memory (about 7 kB a cell); only the cells of a batch are decoded. Cost: each rank
decompresses every window and decodes its share.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus.encoding import EncodedLayer, join_rows
from velocorpus.corpus.reader import Corpus, Shard, encoded_layer, first_tokens, open_shard
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.data.packing import Truncation, join, pack_encoded
from velocorpus.errors import UserMistake

# Streams of random numbers that must not coincide: order of blocks, order within a window, truncation of a
# batch.
_BLOCKS, _CELLS, _CUT = range(3)


class Loader:
    """An endless iterator of `CellBatch`; `state_dict` and `load_state_dict` resume to the identical next
    batch.

    `rows_B` of a batch are rows of `corpus.read(split, studies)`. `batch_cells` is the size of one rank's
    batch. Only genes that pass the corpus' gene filter come out.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str | None,
        *,
        batch_cells: int,
        seed: int,
        modalities: Sequence[str],
        max_genes: int,
        truncation: Truncation,
        rank: int = 0,
        world_size: int = 1,
        studies: Sequence[str] | None = None,
        window_blocks: int = 16,
    ) -> None:
        assert 0 <= rank < world_size, "rank must be one of the world's ranks"
        self.corpus, self.split, self.studies = corpus, split, studies
        self.batch_cells, self.seed, self.window_blocks = batch_cells, seed, window_blocks
        self.modalities, self.max_genes, self.truncation = tuple(modalities), max_genes, truncation
        self.rank, self.world_size = rank, world_size
        self._shards = corpus.shards(split)
        self._blocks = list(self._find_blocks())
        self.n_cells = sum(len(block.rows) for block in self._blocks)
        if not self.n_cells:
            of = f" of {', '.join(studies)}" if studies else ""
            raise UserMistake(
                f"The split '{split}' of the corpus {corpus.path} has no cells{of}; hold out a study for it."
            )
        self._step = 0
        self._plan: tuple[int, list[NDArray[np.int64]], NDArray[np.int64]] | None = None
        self._window: tuple[tuple[int, int], _Window] | None = None

    def __iter__(self) -> Iterator[CellBatch]:
        return self

    def __next__(self) -> CellBatch:
        number = self._step * self.world_size + self.rank
        batch = self._batch(number * self.batch_cells, (number + 1) * self.batch_cells, number)
        self._step += 1
        return batch

    def one_epoch(self, epoch: int = 0) -> Iterator[CellBatch]:
        """This rank's batches of one epoch, for judging: every cell once, the last batch short; the state stays."""
        start, end = epoch * self.n_cells, (epoch + 1) * self.n_cells
        for number, at in enumerate(range(start, end, self.batch_cells)):
            if number % self.world_size == self.rank:
                yield self._batch(at, min(at + self.batch_cells, end), at)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands, and what it depends on: JSON-able, equal on all ranks after the same step."""
        return self._identity() | {"batches": self._step * self.world_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after a saved state; refuses a state of another corpus, seed or batch size.

        The number of ranks may differ where the batches drawn so far divide evenly among them.
        """
        for key, value in self._identity().items():
            if state[key] != value:
                raise UserMistake(
                    f"The saved state of the loader has {key} {state[key]!r}, this run {value!r}; resume with the same."
                )
        if state["batches"] % self.world_size:
            raise UserMistake(
                f"{state['batches']} batches were drawn, which {self.world_size} ranks cannot share evenly; "
                "resume with the number of ranks of before."
            )
        self._step = state["batches"] // self.world_size

    def _identity(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus.digest,
            "split": self.split,
            "studies": sorted(self.studies) if self.studies is not None else None,
            "seed": self.seed,
            "batch_cells": self.batch_cells,
            "window_blocks": self.window_blocks,
            "n_cells": self.n_cells,
        }

    def _find_blocks(self) -> Iterator["_Block"]:
        """Every record batch with its wanted rows and the number of its first row in `corpus.read(split, studies)`."""
        wanted = pa.array(self.corpus.samples_of(self.studies), pa.string())
        row = 0
        for shard in self._shards:
            with pa.memory_map(str(shard.path)) as source:
                file = open_shard(source, shard.path, (), (names.SAMPLE,))
                for i in range(file.num_record_batches):
                    mask = pc.is_in(file.get_batch(i)[names.SAMPLE], value_set=wanted)
                    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
                    if len(rows):
                        yield _Block(shard, i, rows, row)
                        row += len(rows)

    def _batch(self, start: int, end: int, number: int) -> CellBatch:
        """The cells at positions [start, end) of the endless stream."""
        rng = np.random.default_rng([self.seed, _CUT, number])
        keys = {modality: int(rng.integers(2**63)) for modality in self.modalities}
        parts: dict[str, list[LayerTokens]] = {modality: [] for modality in self.modalities}
        rows: list[NDArray[np.int64]] = []
        place = 0
        while start < end:
            epoch, at = divmod(start, self.n_cells)
            window_rows, window, order = self._window_at(epoch, at)
            stop = min(end - start, window_rows.stop - at)
            chosen = order[at - window_rows.start : at - window_rows.start + stop]
            for modality in self.modalities:
                parts[modality].append(
                    pack_encoded(
                        window.layers[modality],
                        chosen,
                        window.first[chosen],
                        self.corpus.genes.kept,
                        max_genes=self.max_genes,
                        truncation=self.truncation,
                        key=keys[modality],
                        place=place,
                    )
                )
            rows.append(window.corpus_rows[chosen])
            start += stop
            place += stop
        layers = {modality: join(parts[modality]) for modality in self.modalities}
        return CellBatch(layers, torch.from_numpy(np.concatenate(rows)))

    def _window_at(self, epoch: int, at: int) -> tuple[range, "_Window", NDArray[np.int64]]:
        """The window that holds position `at` of an epoch: its positions, its cells, their shuffled order."""
        if self._plan is None or self._plan[0] != epoch:
            order = np.random.default_rng([self.seed, _BLOCKS, epoch]).permutation(len(self._blocks))
            windows = [order[i : i + self.window_blocks] for i in range(0, len(order), self.window_blocks)]
            sizes = [sum(len(self._blocks[b].rows) for b in window) for window in windows]
            self._plan = (epoch, windows, np.concatenate([[0], np.cumsum(sizes)]))
        _, windows, bounds = self._plan
        number = int(np.searchsorted(bounds, at, side="right")) - 1
        if self._window is None or self._window[0] != (epoch, number):
            blocks = [self._blocks[b] for b in windows[number]]
            self._window = ((epoch, number), _Window(self.corpus, blocks, self.modalities))
        positions = range(int(bounds[number]), int(bounds[number + 1]))
        rng = np.random.default_rng([self.seed, _CELLS, epoch, number])
        return positions, self._window[1], self._window[1].rows[rng.permutation(len(positions))]


class _Block:
    """One record batch of one shard."""

    def __init__(self, shard: Shard, number: int, rows: NDArray[np.int64], corpus_row: int) -> None:
        self.shard, self.number, self.rows, self.corpus_row = shard, number, rows, corpus_row


class _Window:
    """Some blocks in memory, still encoded: `rows` are the wanted rows of their joined record batches."""

    def __init__(self, corpus: Corpus, blocks: Sequence[_Block], modalities: Sequence[str]) -> None:
        encoded: dict[str, list[EncodedLayer]] = {modality: [] for modality in modalities}
        rows, corpus_rows, first, below = [], [], [], 0
        for block in blocks:
            with pa.memory_map(str(block.shard.path)) as source:
                file = open_shard(source, block.shard.path, modalities, (names.ORGANISM,))
                batch = file.get_batch(block.number)
                for modality in modalities:
                    encoded[modality].append(encoded_layer(batch, modality))
                first.append(first_tokens(batch, corpus.genes))
            rows.append(block.rows + below)
            numbers = np.full(batch.num_rows, -1, np.int64)
            numbers[block.rows] = block.corpus_row + np.arange(len(block.rows))
            corpus_rows.append(numbers)
            below += batch.num_rows
        self.rows = np.concatenate(rows)
        self.corpus_rows = np.concatenate(corpus_rows)
        self.first = np.concatenate(first)
        self.layers = {
            modality: EncodedLayer(join_rows([p.genes for p in parts]), join_rows([p.counts for p in parts]))
            for modality, parts in encoded.items()
        }
