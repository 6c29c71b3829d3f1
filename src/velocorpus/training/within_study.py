"""Batches of one study each: contrast within a study asks for the cell's state, not for the study's name.

With mixed batches the model tells studies apart (most negatives are won by that) and learns nothing that holds
on a study never seen; there the retrieval of a cell's other view stayed at chance.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc

from velocorpus import names
from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch
from velocorpus.data.loader import Loader


class StudyBatches:
    """An endless stream of batches, each of one study; a study is drawn in proportion to its cells.

    One loader per study, opened when it is first drawn: memory grows with the number of studies drawn (each keeps the
    blocks of its window, and reads none ahead), which suits hundreds of studies, not thousands. `options` are those of
    `Loader`.
    """

    def __init__(self, corpus: Corpus, split: str, *, seed: int, **options: Any) -> None:
        self.corpus, self.split, self.seed, self.options = corpus, split, seed, options
        # Opening a loader over the whole split refuses an empty one by name.
        Loader(corpus, split, seed=seed, **options)
        mine = corpus.samples.filter(pc.equal(corpus.samples["split"], split)).group_by(names.STUDY)
        cells_of = mine.aggregate([("cells", "sum")]).sort_by(names.STUDY)
        self.studies, cells = (cells_of[column].to_numpy() for column in (names.STUDY, "cells_sum"))
        self.share = cells / cells.sum()
        self.loaders: dict[str, Loader] = {}
        self.step = 0

    def __iter__(self) -> Iterator[CellBatch]:
        return self

    def __next__(self) -> CellBatch:
        study = str(np.random.default_rng([self.seed, self.step]).choice(self.studies, p=self.share))
        batch = next(self._loader(study))
        self.step += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Where the stream stands; JSON-able."""
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
