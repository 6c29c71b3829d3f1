"""Where the loader's time goes: CPU microseconds a cell, padded batches of 256 cells x 2 x 2,048, one thread.

python benchmarks/loader_profile.py CORPUS [--turns 5]

Each part by itself on the same blocks, the least and the median of its turns: reading and decompressing record batches;
decoding, cutting and padding cells of blocks in memory; and the whole epoch, of which what is left is Python.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from velocorpus import names
from velocorpus.corpus import Corpus
from velocorpus.corpus.encoding import Kept
from velocorpus.data.blocks import find_blocks, read_block
from velocorpus.data.loader import Loader
from velocorpus.data.packing import Packer, Space

LAYERS = (names.SPLICED, names.UNSPLICED)
CUT = {"max_genes": 2048, "truncation": "top"}
BATCH_CELLS, N_BLOCKS = 256, 16


def turns(n: int, what: str, work: Callable[[], int]) -> None:
    """Print what some work takes; it returns how many cells it did."""
    found = []
    for _ in range(n + 1):
        start = time.process_time()
        n_cells = work()
        found.append(1e6 * (time.process_time() - start) / n_cells)
    print(f"| {what} | {min(found[1:]):.1f} | {np.median(found[1:]):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    pa.set_cpu_count(1)
    corpus, rng, space = Corpus(given.corpus), np.random.default_rng(0), Space()
    blocks = find_blocks(corpus, "train")[:N_BLOCKS]
    kept = Kept.of(corpus.genes.kept, corpus.genes.first.values())

    def read() -> int:
        return sum(len(read_block(corpus, block, LAYERS).rows) for block in blocks)

    cells = [read_block(corpus, block, LAYERS) for block in blocks]

    def pack() -> int:
        for _ in range(64):
            for layer in LAYERS:
                packer = Packer(BATCH_CELLS, kept, space, **CUT, key=0, padded=True)
                for block in cells:
                    rows = block.rows[np.sort(rng.integers(0, len(block.rows), BATCH_CELLS // len(cells)))]
                    packer.add(block.layers[layer], rows, block.first[rows])
        return 64 * (BATCH_CELLS // len(cells)) * len(cells)

    loader = Loader(corpus, "train", batch_cells=BATCH_CELLS, seed=0, modalities=LAYERS, readers=0, **CUT)
    batches = loader.padded()

    def whole() -> int:
        return sum(len(next(batches).rows_B) for _ in range(loader.n_cells // BATCH_CELLS))

    print("| µs of CPU a cell | least | median |\n|---|--:|--:|")
    turns(given.turns, "reading, decompressing", read)
    turns(given.turns, "decoding, cutting, padding", pack)
    turns(given.turns, "the whole", whole)


if __name__ == "__main__":
    main()
