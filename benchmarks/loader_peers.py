"""One reader of `loader.py` in a process of its own: makes its format from plain arrays, or reads one epoch of it.

python loader_peers.py NAME FOLDER [--make] [--seed 0]

Imports nothing of velocorpus but for `ours`, so that each reader runs in an environment of its own. Readers with one
matrix a cell (SCDL, scDataset, annbatch) get the unspliced genes as further columns after the spliced ones.
"""

import argparse
import importlib
import itertools
import json
import re
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from loader_padding import (
    BATCH,
    LAYERS,
    WIDTH,
    Padded,
    batches,
    cells,
    fill,
    joined_anndata,
    n_genes_of,
    pad_joined,
    pad_layers,
    room,
)

BLOCK, WINDOW = 1024, 16  # cells a record batch; record batches in memory at once
Epoch = Callable[[int], Iterator[Any]]  # of a seed


def uncompressed(folder: Path) -> Epoch:
    """Memory-mapped CSR, any cell in any order: nothing is decoded, so this is what padding costs."""
    layers = [tuple(map(np.asarray, arrays)) for arrays in cells(folder).values()]

    def epoch(seed: int) -> Iterator[Padded]:
        for rows in batches(np.random.default_rng(seed).permutation(len(layers[0][0]) - 1)):
            ids, values = room(len(rows))
            for layer, (p, i, d) in enumerate(layers):
                fill(p[rows], p[rows + 1], i, d, 0, np.arange(len(rows)), ids[layer], values[layer])
            yield ids, values

    return epoch


def make_pyarrow(folder: Path) -> None:
    """Files of 8 record batches, zstd, two list<uint16> columns a layer."""
    import pyarrow as pa

    columns = {}
    for layer, (p, i, d) in cells(folder).items():
        for name, flat in (("genes", i), ("counts", d)):
            columns[f"{layer}_{name}"] = pa.ListArray.from_arrays(pa.array(p, pa.int32()), pa.array(flat))
    table = pa.table(columns)
    (folder / "pyarrow").mkdir()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    for number, at in enumerate(range(0, table.num_rows, 8 * BLOCK)):
        with pa.ipc.new_file(folder / "pyarrow" / f"{number:03}.arrow", table.schema, options=options) as file:
            file.write_table(table.slice(at, 8 * BLOCK).combine_chunks(), max_chunksize=BLOCK)


def by_blocks(n_blocks: int, read: Callable[[int], Any]) -> Epoch:
    """Blocks in random order, the cells of 16 of them shuffled, as ours shuffles; `read` gives a record batch."""

    def arrays(block: Any, layer: str) -> tuple[np.ndarray, ...]:
        genes, counts = block[f"{layer}_genes"], block[f"{layer}_counts"]
        return genes.offsets.to_numpy(), genes.values.to_numpy(), counts.values.to_numpy()

    def epoch(seed: int) -> Iterator[Padded]:
        rng = np.random.default_rng(seed)
        for window in batches(rng.permutation(n_blocks), WINDOW):
            blocks = [read(int(number)) for number in window]
            lists = [[arrays(block, layer) for layer in LAYERS] for block in blocks]
            block_of = np.repeat(np.arange(len(blocks)), [block.num_rows for block in blocks])
            row_of = np.concatenate([np.arange(block.num_rows) for block in blocks])
            for chosen in batches(rng.permutation(len(row_of))):
                ids, values = room(len(chosen))
                for number in range(len(blocks)):
                    places = np.flatnonzero(block_of[chosen] == number)
                    rows = row_of[chosen[places]]
                    for layer, (p, i, d) in enumerate(lists[number]):
                        fill(p[rows], p[rows + 1], i, d, 0, places, ids[layer], values[layer])
                yield ids, values

    return epoch


def pyarrow(folder: Path) -> Epoch:
    """pyarrow by hand: record batches, decompressed one after another."""
    import pyarrow as pa

    pa.set_cpu_count(1)
    files = [pa.ipc.open_file(pa.memory_map(str(path))) for path in sorted((folder / "pyarrow").iterdir())]
    blocks = [(file, number) for file in files for number in range(file.num_record_batches)]
    return by_blocks(len(blocks), lambda block: blocks[block][0].get_batch(blocks[block][1]))


def make_hf(folder: Path) -> None:
    """The same lists as `pyarrow`, in the uncompressed copy that `datasets` maps into memory."""
    import datasets

    if not (folder / "pyarrow").exists():
        make_pyarrow(folder)
    files = [str(path) for path in sorted((folder / "pyarrow").iterdir())]
    made = datasets.load_dataset("arrow", data_files=files, split="train", cache_dir=str(folder / "hf_cache"))
    made.save_to_disk(str(folder / "hf"))


def hf(folder: Path) -> Epoch:
    """`datasets` in its default format: uniformly shuffled by `shuffle`, batches of Python lists."""
    import datasets

    data = datasets.load_from_disk(str(folder / "hf"))

    def flat(lists: list[list[int]]) -> np.ndarray:
        return np.fromiter(itertools.chain.from_iterable(lists), np.int32)

    def epoch(seed: int) -> Iterator[Padded]:
        for batch in data.shuffle(seed=seed, keep_in_memory=True).iter(BATCH):
            layers = []
            for layer in LAYERS:
                genes = batch[f"{layer}_genes"]
                indptr = np.concatenate([[0], np.cumsum([len(one) for one in genes])])
                layers.append((indptr, flat(genes), flat(batch[f"{layer}_counts"])))
            yield pad_layers(layers)

    return epoch


def hf_arrow(folder: Path) -> Epoch:
    """`datasets` in its arrow format, slices of rows in random order, which is faster than its own `shuffle`."""
    import datasets

    data = datasets.load_from_disk(str(folder / "hf")).with_format("arrow")

    def read(block: int) -> Any:
        return data[block * BLOCK : (block + 1) * BLOCK].combine_chunks().to_batches()[0]

    return by_blocks(-(-len(data) // BLOCK), read)


def make_scdl(folder: Path) -> None:
    """By its own converter, in its default types (float32 counts, uint32 columns)."""
    from bionemo.scdl.io.single_cell_memmap_dataset import SingleCellMemMapDataset

    joined_anndata(folder).write_h5ad(folder / "scdl.h5ad")
    SingleCellMemMapDataset(str(folder / "scdl"), h5ad_path=str(folder / "scdl.h5ad"), use_X_not_raw=True).save()
    (folder / "scdl.h5ad").unlink()


def scdl(folder: Path) -> Epoch:
    """BioNeMo SCDL: memory-mapped CSR, uniformly shuffled, one `get_row` a cell."""
    from bionemo.scdl.io.single_cell_memmap_dataset import SingleCellMemMapDataset

    data, n_genes = SingleCellMemMapDataset(str(folder / "scdl")), n_genes_of(folder)

    def epoch(seed: int) -> Iterator[Padded]:
        for rows in batches(np.random.default_rng(seed).permutation(len(data))):
            found = [data.get_row(row)[0] for row in rows.tolist()]
            indptr = np.concatenate([[0], np.cumsum([len(columns) for _, columns in found])])
            values, columns = (np.concatenate([one[part] for one in found]) for part in (0, 1))
            yield pad_joined(indptr, columns, values, n_genes)

    return epoch


def make_scdataset(folder: Path) -> None:
    """An h5ad that is not compressed, which is what it reads fastest of its examples."""
    joined_anndata(folder).write_h5ad(folder / "scdataset.h5ad")


def scdataset(folder: Path) -> Epoch:
    """scDataset over a backed AnnData: blocks of 16 cells, 64 batches fetched at once (16,384 cells, as ours)."""
    import anndata as ad
    from scdataset import BlockShuffling, scDataset

    data, n_genes = ad.read_h5ad(folder / "scdataset.h5ad", backed="r"), n_genes_of(folder)

    def epoch(seed: int) -> Iterator[Padded]:
        return iter(
            scDataset(
                data,
                BlockShuffling(block_size=16),
                batch_size=BATCH,
                fetch_factor=WINDOW * BLOCK // BATCH,
                fetch_transform=lambda fetched: fetched.to_memory().X,
                batch_transform=lambda x: pad_joined(x.indptr, x.indices, x.data, n_genes),
                seed=seed,
            )
        )

    return epoch


def make_annbatch(folder: Path) -> None:
    """Its own collection, shuffled when written, with its default chunks and compression."""
    from annbatch import DatasetCollection

    joined_anndata(folder).write_h5ad(folder / "annbatch.h5ad")
    DatasetCollection(folder / "annbatch.zarr").add_adatas([folder / "annbatch.h5ad"], rng=np.random.default_rng(0))
    (folder / "annbatch.h5ad").unlink()


def annbatch(folder: Path) -> Epoch:
    """annbatch: zarr read by zarrs, its defaults (chunks of 512 cells, 32 in memory at once: 16,384 cells)."""
    import zarr
    from annbatch import DatasetCollection, Loader

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1})
    n_genes = n_genes_of(folder)

    def epoch(seed: int) -> Iterator[Padded]:
        loader = Loader(batch_size=BATCH, shuffle=True, preload_to_gpu=False, rng=np.random.default_rng(seed))
        loader.use_collection(DatasetCollection(folder / "annbatch.zarr", mode="r"))
        for batch in loader:
            x = batch["X"]
            yield pad_joined(x.indptr, x.indices, x.data, n_genes)

    return epoch


def _loader(folder: Path, seed: int) -> Any:
    from velocorpus.corpus.reader import Corpus
    from velocorpus.data.loader import Loader

    how = {"batch_cells": BATCH, "seed": seed, "modalities": LAYERS, "max_genes": WIDTH, "truncation": "top"}
    return Loader(Corpus(folder / "ours"), "train", **how)


def packed(folder: Path) -> Epoch:
    """Ours as the model takes it: ids, values and offsets of each layer, no padding."""

    def epoch(seed: int) -> Iterator[Any]:
        loader = _loader(folder, seed)
        return itertools.islice(loader, loader.n_cells // BATCH)

    return epoch


def ours(folder: Path) -> Epoch:
    """Ours, padded by its own method."""

    def epoch(seed: int) -> Iterator[Any]:
        loader = _loader(folder, seed)
        return itertools.islice(loader.padded(), loader.n_cells // BATCH)

    return epoch


class Reader(NamedTuple):
    """The module that must import, what is on disk under the data folder, how that is made, how it is read."""

    needs: str
    files: str
    make: Callable[[Path], None] | None  # None: `loader.py` makes it
    open: Callable[[Path], Epoch]


READERS = {
    "ours": Reader("velocorpus", "ours", None, ours),
    "packed": Reader("velocorpus", "ours", None, packed),
    "uncompressed": Reader("numba", "cells", None, uncompressed),
    "hf-arrow": Reader("datasets", "hf", make_hf, hf_arrow),
    "pyarrow": Reader("pyarrow", "pyarrow", make_pyarrow, pyarrow),
    "scdl": Reader("bionemo.scdl", "scdl", make_scdl, scdl),
    "annbatch": Reader("annbatch", "annbatch.zarr", make_annbatch, annbatch),
    "scdataset": Reader("scdataset", "scdataset.h5ad", make_scdataset, scdataset),
    "hf": Reader("datasets", "hf", make_hf, hf),
}


def total_of(batch: Any) -> tuple[int, float]:
    """Cells of a batch and the sum of their counts."""
    if isinstance(batch, tuple):
        return batch[1].shape[1], float(batch[1].sum(dtype=np.float64))
    layers = batch.layers.values()
    counts = [layer.counts_BL if hasattr(layer, "counts_BL") else layer.counts_T for layer in layers]
    return len(batch.rows_B), sum(float(one.double().sum()) for one in counts)


def measured(epoch: Epoch, seed: int) -> dict[str, float]:
    """An epoch timed after another one, which compiles, fills the allocator's memory and is summed, to compare."""
    totals = [total_of(batch) for batch in epoch(seed + 1)]
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for batch in epoch(seed):
        del batch
    after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - wall
    peak = re.findall(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    n_cells, total = (sum(one[i] for one in totals) for i in (0, 1))
    kernel = after.ru_stime - before.ru_stime
    used = {"cpu_s": after.ru_utime - before.ru_utime + kernel, "kernel_s": kernel, "wall_s": wall}
    return {"cells": n_cells, "total": total, **used, "peak_gb": int(peak[0]) * 1024 / 1e9}


def main() -> None:
    """Make a format, or print what one epoch took as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=READERS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--make", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    reader = READERS[options.name]
    importlib.import_module(reader.needs)
    if not options.make:
        print(json.dumps(measured(reader.open(options.folder), options.seed)))
    elif reader.make:
        reader.make(options.folder)


if __name__ == "__main__":
    main()
