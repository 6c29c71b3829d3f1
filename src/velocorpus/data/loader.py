"""Shuffled batches of a corpus, streamed from its shards: every cell exactly once an epoch, and resumable at any batch.

The stream of an epoch is fixed by the seed alone: the blocks (record batches) of all shards are shuffled, taken in
windows of `window_blocks`, and the cells of a window are shuffled. A cell can therefore meet only cells of its own
window in a batch (16 blocks are 16,384 cells): that is the price for reading compressed shards in order. Batches are
cut from the endless stream of epochs, so each is full; the one at an epoch's border holds the end of one and the
start of the next. Of `world_size` ranks, rank r takes every batch whose number is r modulo `world_size`; the workers
of a `torch.utils.data.DataLoader` share a rank's batches in the same way.

A window stays encoded in memory (about 5 kB a cell and two windows: the next one is read meanwhile); only the cells
of a batch are decoded. Cost: each rank, and each worker, reads every window and decodes its share.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, get_worker_info

from velocorpus.corpus.encoding import Kept
from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch, PaddedBatch
from velocorpus.data.blocks import BlockCells, find_blocks, read_block
from velocorpus.data.packing import Packer, Space, Truncation
from velocorpus.errors import UserMistake

# Streams of random numbers that must not coincide: order of blocks, order within a window, truncation of a
# batch.
_BLOCKS, _CELLS, _CUT = range(3)


class Loader(IterableDataset[CellBatch]):
    """An endless iterator of `CellBatch`; `state_dict` and `load_state_dict` resume to the identical next
    batch.

    `rows_B` of a batch are rows of `corpus.read(split, studies)`, in no order that means anything. `batch_cells` is the
    size of one rank's batch. Only genes that pass the corpus' gene filter come out. `readers` threads read the next
    window while this one is used: more of them hide more of a bucket's latency; 0 reads when a window is needed.
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
        readers: int = 1,
    ) -> None:
        assert 0 <= rank < world_size, "rank must be one of the world's ranks"
        self.corpus, self.split, self.studies = corpus, split, studies
        self.batch_cells, self.seed, self.window_blocks = batch_cells, seed, window_blocks
        self.modalities, self.max_genes, self.truncation = tuple(modalities), max_genes, truncation
        self.rank, self.world_size, self.readers = rank, world_size, readers
        self._blocks = find_blocks(corpus, split, studies)
        self.n_cells = sum(block.n_cells for block in self._blocks)
        if not self.n_cells:
            of = f" of {', '.join(studies)}" if studies else ""
            raise UserMistake(
                f"The split '{split}' of the corpus {corpus.address} has no cells{of}; hold out a study for it."
            )
        self._drawn, self._step, self._space = 0, 0, Space()
        self._kept = Kept.of(corpus.genes.kept, corpus.genes.first.values())
        self._plan: tuple[int, list[NDArray[np.int64]], NDArray[np.int64]] | None = None
        self._window: _Window | None = None
        self._ahead: dict[tuple[int, int], list[Future[BlockCells]]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """For workers, which read by themselves."""
        return self.__dict__ | {"_window": None, "_ahead": {}, "_threads": None, "_space": Space()}

    def __iter__(self) -> Iterator[CellBatch]:
        return self

    def __next__(self) -> CellBatch:
        return self._packed(*self._next())

    def padded(self) -> Iterator[PaddedBatch]:
        """The same stream, from where it stands, as padded tensors."""
        while True:
            packers, rows_B = self._pack(*self._next(), padded=True)
            yield PaddedBatch({modality: packer.padded() for modality, packer in packers.items()}, rows_B)

    def one_epoch(self, epoch: int = 0) -> Iterator[CellBatch]:
        """This rank's batches of one epoch, for judging: every cell once, the last batch short; the state stays."""
        start, end = epoch * self.n_cells, (epoch + 1) * self.n_cells
        for number, at in enumerate(range(start, end, self.batch_cells)):
            if number % self.world_size == self.rank:
                yield self._packed(at, min(at + self.batch_cells, end), at)

    def state_dict(self, steps: int | None = None) -> dict[str, Any]:
        """Where the stream stands, and what it depends on: JSON-able, equal on all ranks after the same step.

        `steps` is the number of batches taken since the start or the last `load_state_dict`; it must be given where
        workers draw them, since their copies are not this one.
        """
        return self._identity() | {"batches": self._drawn + (self._step if steps is None else steps) * self.world_size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after a saved state, on any number of ranks; refuses a state of another corpus, seed or batch size."""
        for key, value in self._identity().items():
            if state[key] != value:
                raise UserMistake(
                    f"The saved state of the loader has {key} {state[key]!r}, this run {value!r}; resume with the same."
                )
        self._drawn, self._step = state["batches"], 0

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

    def _next(self) -> tuple[int, int, int]:
        """The next batch of this rank, or of this worker: its positions in the endless stream, and its number."""
        worker = get_worker_info()
        step = self._step if worker is None else self._step * worker.num_workers + worker.id
        number = self._drawn + step * self.world_size + self.rank
        self._step += 1
        return number * self.batch_cells, (number + 1) * self.batch_cells, number

    def _packed(self, start: int, end: int, number: int) -> CellBatch:
        packers, rows_B = self._pack(start, end, number)
        return CellBatch({modality: packer.tokens() for modality, packer in packers.items()}, rows_B)

    def _pack(
        self, start: int, end: int, number: int, *, padded: bool = False
    ) -> tuple[dict[str, Packer], torch.Tensor]:
        """The cells at positions [start, end) of the endless stream, those of a block one after another."""
        rng = np.random.default_rng([self.seed, _CUT, number])
        packers = {
            modality: Packer(
                end - start,
                self._kept,
                self._space,
                max_genes=self.max_genes,
                truncation=self.truncation,
                key=int(rng.integers(2**63)),
                padded=padded,
            )
            for modality in self.modalities
        }
        corpus_rows: list[NDArray[np.int64]] = []
        while start < end:
            epoch, at = divmod(start, self.n_cells)
            window = self._window_at(epoch, at)
            n = min(end - start, window.at.stop - at)
            chosen = np.sort(window.order[at - window.at.start :][:n])
            rows, first = window.rows[chosen], window.first[chosen]
            bounds = np.searchsorted(chosen, window.starts).tolist()
            for block, (a, b) in zip(window.blocks, pairwise(bounds), strict=True):
                if a < b:
                    for modality, packer in packers.items():
                        packer.add(block.layers[modality], rows[a:b], first[a:b])
            corpus_rows.append(window.corpus_rows[chosen])
            start += n
        return packers, torch.from_numpy(np.concatenate(corpus_rows))

    def _window_at(self, epoch: int, at: int) -> "_Window":
        """The window that holds position `at` of an epoch; reading of the next one of the epoch begins."""
        if self._plan is None or self._plan[0] != epoch:
            order = np.random.default_rng([self.seed, _BLOCKS, epoch]).permutation(len(self._blocks))
            windows = [order[i : i + self.window_blocks] for i in range(0, len(order), self.window_blocks)]
            sizes = [sum(self._blocks[b].n_cells for b in window) for window in windows]
            self._plan = (epoch, windows, np.concatenate([[0], np.cumsum(sizes)]))
        _, windows, bounds = self._plan
        number = int(np.searchsorted(bounds, at, side="right")) - 1
        if self._window is None or self._window.key != (epoch, number):
            self._window = None  # its memory goes before the next one's comes
            rng = np.random.default_rng([self.seed, _CELLS, epoch, number])
            blocks = list(self._read(epoch, number, windows))
            self._window = _Window((epoch, number), range(int(bounds[number]), int(bounds[number + 1])), blocks, rng)
        return self._window

    def _read(self, epoch: int, number: int, windows: Sequence[NDArray[np.int64]]) -> Iterator[BlockCells]:
        """The blocks of a window: read ahead, or now."""
        if not self.readers:
            return (read_block(self.corpus, self._blocks[b], self.modalities) for b in windows[number])
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self.readers, "velocorpus-read")
        submit = self._threads.submit
        ahead = self._ahead
        self._ahead = {
            (epoch, n): [submit(read_block, self.corpus, self._blocks[b], self.modalities) for b in windows[n]]
            for n in range(number, min(number + 2, len(windows)))
            if (epoch, n) not in ahead
        } | {key: ahead[key] for key in ((epoch, number), (epoch, number + 1)) if key in ahead}
        return (block.result() for block in self._ahead.pop((epoch, number)))


class _Window:
    """Some blocks in memory, still encoded; `order` shuffles their cells, block i has [starts[i], starts[i + 1]).

    By cell: `rows`, its row in the block, `first`, the first token of its organism, and `corpus_rows`.
    """

    def __init__(self, key: tuple[int, int], at: range, blocks: Sequence[BlockCells], rng: np.random.Generator) -> None:
        self.key, self.at, self.blocks = key, at, blocks
        self.starts = np.concatenate([[0], np.cumsum([len(block.rows) for block in blocks])])
        self.order = rng.permutation(len(at))
        self.rows = np.concatenate([block.rows for block in blocks])
        self.first = np.concatenate([block.first[block.rows] for block in blocks])
        self.corpus_rows = np.concatenate([block.corpus_row + np.arange(len(block.rows)) for block in blocks])
