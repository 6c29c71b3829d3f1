"""A step's batch in pieces: the same cells, and the same pieces, on any number of ranks.

The global batch of `batch_cells` cells is cut into pieces ("chunks") of `chunk_cells`. Chunk j of a step belongs to
rank j modulo the number of ranks. All that is drawn at random for a cell (where it is truncated, which values are
hidden, dropout) is a function of seed, step and chunk; so the number of ranks changes nothing but the order of sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
import torch

from velocorpus import names
from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch
from velocorpus.data.loader import Loader
from velocorpus.errors import UserMistake
from velocorpus.training.ranks import World


@dataclass(frozen=True)
class Chunks:
    """This rank's part of a batch; `numbers` are the places of its chunks in the whole batch of `of` chunks."""

    parts: list[CellBatch]
    numbers: list[int]
    of: int

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def to(self, device: torch.device | str) -> "Chunks":
        """The same on another device."""
        return Chunks([part.to(device) for part in self.parts], self.numbers, self.of)


def chunk_size(batch_cells: int, chunk_cells: int | None, world: World) -> int:
    """Cells in one chunk; without `chunk_cells` each rank's share is one. Refuses what does not divide the batch."""
    chunk = chunk_cells or max(1, batch_cells // world.size)
    if batch_cells % (chunk * world.size):
        raise UserMistake(
            f"batch_cells {batch_cells} is no multiple of chunk_cells {chunk} times {world.size} processes; choose "
            "pretrain.chunk_cells so that every process gets as many whole chunks as the others."
        )
    return chunk


class GlobalBatches:
    """An endless stream of `Chunks`, each of one study or of all; a study is drawn in proportion to its cells.

    With batches of one study, one loader a study is opened when it is first drawn: memory grows with the number of
    studies drawn (each keeps the blocks of its window, and reads none ahead), which suits hundreds of studies, not
    thousands. With mixed batches the model tells studies apart (most negatives are won by that) and learns nothing that
    holds on a study never seen: there the retrieval of a cell's other view stayed at chance. `options` are `Loader`'s.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str,
        *,
        of_one_study: bool,
        batch_cells: int,
        chunk_cells: int,
        seed: int,
        world: World,
        **options: Any,
    ) -> None:
        self.corpus, self.split, self.seed, self.world = corpus, split, seed, world
        self.options = options | {"batch_cells": chunk_cells, "rank": world.rank, "world_size": world.size}
        self.n_chunks = batch_cells // chunk_cells
        # Opening a loader over the whole split refuses an empty one by name.
        whole = Loader(corpus, split, seed=seed, **self.options)
        self.loaders: dict[str, Loader] = {} if of_one_study else {"": whole}
        self.studies, self.share = np.array([""]), np.ones(1)
        if of_one_study:
            mine = corpus.samples.filter(pc.equal(corpus.samples["split"], split)).group_by(names.STUDY)
            cells_of = mine.aggregate([("cells", "sum")]).sort_by(names.STUDY)
            self.studies, cells = (cells_of[column].to_numpy() for column in (names.STUDY, "cells_sum"))
            self.share = cells / cells.sum()
        self.step = 0

    def __iter__(self) -> Iterator[Chunks]:
        return self

    def __next__(self) -> Chunks:
        study = str(np.random.default_rng([self.seed, self.step]).choice(self.studies, p=self.share))
        loader = self._loader(study)
        numbers = list(range(self.world.rank, self.n_chunks, self.world.size))
        parts = [next(loader) for _ in numbers]
        self.step += 1
        return Chunks(parts, numbers, self.n_chunks)

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands; JSON-able, equal on all ranks, and good for any number of them."""
        return {"step": self.step, "studies": {s: x.state_dict() for s, x in sorted(self.loaders.items())}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on to the identical next batch."""
        self.step = state["step"]
        for study, inner in state["studies"].items():
            self._loader(study).load_state_dict(inner)

    def _loader(self, study: str) -> Loader:
        if study not in self.loaders:
            self.loaders[study] = Loader(
                self.corpus, self.split, seed=self.seed, studies=[study], readers=0, **self.options
            )
        return self.loaders[study]
