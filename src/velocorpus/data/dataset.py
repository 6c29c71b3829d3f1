"""Cells of a corpus by number, for samplers of one's own: `torch.utils.data.Dataset`'s map style.

A cell costs the reading of its block of 1,024, unless that is one of the `cached_blocks` read last: to go through all
cells in random order, `loader.Loader` reads each block once.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from velocorpus.corpus.encoding import decode_layer
from velocorpus.corpus.reader import Corpus, join_csr
from velocorpus.data.batch import CellBatch
from velocorpus.data.blocks import BlockCells, find_blocks, read_block
from velocorpus.data.packing import Truncation, pack_csr


class CellDataset(Dataset[CellBatch]):
    """Cell i is row i of `corpus.read(split, studies)`.

    Give a `DataLoader` its `collate`, so that a batch comes as one `CellBatch`, in the order asked for. What `sample`
    draws is a function of `seed` and of the rows of the batch.
    """

    def __init__(
        self,
        corpus: Corpus,
        split: str | None,
        *,
        modalities: Sequence[str],
        max_genes: int,
        truncation: Truncation,
        seed: int,
        studies: Sequence[str] | None = None,
        cached_blocks: int = 16,
    ) -> None:
        self.corpus, self.modalities, self.seed = corpus, tuple(modalities), seed
        self.max_genes, self.truncation, self.cached_blocks = max_genes, truncation, cached_blocks
        self._blocks = find_blocks(corpus, split, studies)
        self._starts = np.cumsum([0, *(block.n_cells for block in self._blocks)])
        self._cache: OrderedDict[int, BlockCells] = OrderedDict()

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> CellBatch:
        """One cell, as a batch of one."""
        return self.__getitems__([row])

    def __getitems__(self, rows: Sequence[int]) -> CellBatch:
        """Some cells; refuses numbers that are not between 0 and the number of cells."""
        rows_B = np.asarray(rows, np.int64)
        if len(rows_B) and not 0 <= rows_B.min() <= rows_B.max() < len(self):
            raise IndexError(f"cells are numbered from 0 to {len(self) - 1}, not {rows_B.min()} to {rows_B.max()}")
        blocks_B = np.searchsorted(self._starts, rows_B, side="right") - 1
        by_block = np.argsort(blocks_B, kind="stable")
        parts: dict[str, list[Any]] = {modality: [] for modality in self.modalities}
        for number in np.unique(blocks_B).tolist():
            block = self._block(number)
            cells = block.rows[rows_B[by_block][blocks_B[by_block] == number] - self._starts[number]]
            for modality, found in parts.items():
                found.append(decode_layer(block.layers[modality], cells, block.first[cells], self.corpus.genes.kept))
        rng = np.random.default_rng([self.seed, *rows_B.tolist()])
        layers = {
            modality: pack_csr(
                join_csr(found, len(self.corpus.genes)),
                np.argsort(by_block),
                max_genes=self.max_genes,
                truncation=self.truncation,
                key=int(rng.integers(2**63)),
            )
            for modality, found in parts.items()
        }
        return CellBatch(layers, torch.from_numpy(rows_B))

    @staticmethod
    def collate(batch: CellBatch) -> CellBatch:
        """What a `DataLoader` needs as `collate_fn`: the batch is one already."""
        return batch

    def _block(self, number: int) -> BlockCells:
        if number not in self._cache:
            self._cache[number] = read_block(self.corpus, self._blocks[number], self.modalities)
        self._cache.move_to_end(number)
        if len(self._cache) > self.cached_blocks:
            self._cache.popitem(last=False)
        return self._cache[number]
