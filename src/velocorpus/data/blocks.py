"""Record batches of shards as the unit of reading: which there are, and the cells of one, still encoded."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus.encoding import EncodedLayer
from velocorpus.corpus.reader import Corpus, Shard, encoded_layer, first_tokens, open_shard


@dataclass(frozen=True)
class Block:
    """One record batch of one shard; cell j of its `n_cells` wanted ones is row `corpus_row` + j of `corpus.read`."""

    shard: Shard
    number: int
    n_cells: int
    corpus_row: int
    rows: NDArray[np.int64] | None  # the wanted rows; None: all


@dataclass(frozen=True)
class BlockCells:
    """A block in memory, still encoded: cell j is row `rows[j]` of `layers` and of `first`, its first tokens."""

    layers: dict[str, EncodedLayer]
    first: NDArray[np.int64]
    rows: NDArray[np.int64]
    corpus_row: int


def find_blocks(corpus: Corpus, split: str | None, studies: Sequence[str] | None = None) -> list[Block]:
    """Every record batch with cells of `corpus.read(split, studies)`.

    Only shards that hold cells of wanted and of other samples are opened.
    """
    wanted = set(corpus.samples_of(studies))
    blocks: list[Block] = []
    row = 0
    for shard in corpus.shards(split):
        if wanted.isdisjoint(shard.samples):
            continue
        mixed = not wanted.issuperset(shard.samples)
        sizes = [min(shard.batch_cells, shard.rows - at) for at in range(0, shard.rows, shard.batch_cells)]
        for number, rows in enumerate(_wanted_rows(shard, wanted) if mixed else [None] * len(sizes)):
            n_cells = sizes[number] if rows is None else len(rows)
            if n_cells:
                blocks.append(Block(shard, number, n_cells, row, rows))
                row += n_cells
    return blocks


def _wanted_rows(shard: Shard, samples: Collection[str]) -> Iterator[NDArray[np.int64]]:
    wanted = pa.array(sorted(samples), pa.string())
    with shard.open(little=True) as source:
        file = open_shard(source, shard.address, (), (names.SAMPLE,))
        for i in range(file.num_record_batches):
            mask = pc.is_in(file.get_batch(i)[names.SAMPLE], value_set=wanted)
            yield np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def read_block(corpus: Corpus, block: Block, modalities: Sequence[str]) -> BlockCells:
    """Read and decompress a block's bytes in some layers: about 5 kB a cell for spliced and unspliced."""
    with block.shard.open() as source:
        batch = open_shard(source, block.shard.address, modalities, (names.ORGANISM,)).get_batch(block.number)
    layers = {modality: encoded_layer(batch, modality) for modality in modalities}
    rows = np.arange(batch.num_rows) if block.rows is None else block.rows
    return BlockCells(layers, first_tokens(batch, corpus.genes), rows, block.corpus_row)
