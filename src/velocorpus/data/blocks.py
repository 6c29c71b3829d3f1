"""Record batches of shards as the unit of reading: which there are, and the cells of one, still encoded."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.corpus.encoding import EncodedLayer
from velocorpus.corpus.reader import Corpus, Shard, encoded_layer, first_tokens, open_shard
from velocorpus.corpus.storage import PARALLEL


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

    Only shards that hold cells of wanted and of other samples are opened: one request a record batch where the corpus
    lies in a bucket, `PARALLEL` of them at once.
    """
    wanted = set(corpus.samples_of(studies))
    shards = [shard for shard in corpus.shards(split) if not wanted.isdisjoint(shard.samples)]
    mixed = [
        (shard, number)
        for shard in shards
        if not wanted.issuperset(shard.samples)
        for number in range(-(-shard.rows // shard.batch_cells))
    ]
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = pool.map(lambda one: _wanted_rows(one[0], one[1], wanted), mixed)
        rows_of = {(shard.name, number): rows for (shard, number), rows in zip(mixed, found, strict=True)}
    blocks: list[Block] = []
    row = 0
    for shard in shards:
        for number, at in enumerate(range(0, shard.rows, shard.batch_cells)):
            rows = rows_of.get((shard.name, number))
            n_cells = min(shard.batch_cells, shard.rows - at) if rows is None else len(rows)
            if n_cells:
                blocks.append(Block(shard, number, n_cells, row, rows))
                row += n_cells
    return blocks


def _wanted_rows(shard: Shard, number: int, samples: Collection[str]) -> NDArray[np.int64]:
    """The rows of a record batch that are of some samples."""
    with shard.open(little=True) as source:
        batch = open_shard(source, shard.address, (), (names.SAMPLE,)).get_batch(number)
    mask = pc.is_in(batch[names.SAMPLE], value_set=pa.array(sorted(samples), pa.string()))
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def read_block(corpus: Corpus, block: Block, modalities: Sequence[str]) -> BlockCells:
    """Read and decompress a block's bytes in some layers: about 5 kB a cell for spliced and unspliced."""
    with block.shard.open() as source:
        batch = open_shard(source, block.shard.address, modalities, (names.ORGANISM,)).get_batch(block.number)
    layers = {modality: encoded_layer(batch, modality) for modality in modalities}
    rows = np.arange(batch.num_rows) if block.rows is None else block.rows
    return BlockCells(layers, first_tokens(batch, corpus.genes), rows, block.corpus_row)
