"""Bytes a cell on disk, spliced + unspliced + ambiguous, lossless: ours beside what others use, on the same cells.

python benchmarks/corpus_size.py --corpus realistic realistic_*/counts.h5ad --corpus pancreas pancreas.h5ad
    [--peer-files 2] [--annbatch-python PYTHON]

A corpus is a name and its files: counts files, or any h5ad of raw layers. Peers, entropy and one row of ours take the
first `--peer-files` of them, another row of ours takes all. Peers hold counts only, by the files' own order of genes;
ours is the whole shard, with barcode and some 15 columns more of each cell. Dense feather holds one float32 a gene and
layer, measured on 256 cells. annbatch needs Python ≥ 3.12: give the interpreter of an environment that has it.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet
from scipy import sparse

from corpus_encodings import by_frequency, columns
from entropy import Layers, bits_per_nonzero, read_layers
from velocorpus import names
from velocorpus.corpus.building.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.schema import SHARDS_FOLDER
from velocorpus.counting.counts_file import write_counts

DENSE_CELLS = 256
ANNBATCH = """
import sys, anndata, zarr
from annbatch.io import write_sharded
from zarr.codecs import BloscCodec
group = zarr.open_group(sys.argv[2], mode="w", zarr_format=3)
compressors = (BloscCodec(cname=sys.argv[3], clevel=3, shuffle="shuffle"),)
write_sharded(group, anndata.read_h5ad(sys.argv[1]), compressors=compressors)
"""


def size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size if path.is_file() else sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    )


def as_lists(layers: Layers, index: pa.DataType, value: pa.DataType) -> pa.Table:
    """One row a cell: gene numbers and counts of each layer as plain Arrow lists."""
    columns = {}
    for name, matrix in layers.items():
        offsets = pa.array(matrix.indptr, pa.int32())
        columns[f"{name}_genes"] = pa.ListArray.from_arrays(offsets, pa.array(matrix.indices).cast(index))
        columns[f"{name}_counts"] = pa.ListArray.from_arrays(offsets, pa.array(matrix.data).cast(value))
    return pa.table(columns)


def dense(layers: Layers) -> pa.Table:
    """One row a cell, one fixed list of float32 a layer."""
    return pa.table(
        {
            name: pa.FixedSizeListArray.from_arrays(matrix.astype(np.float32).toarray().ravel(), matrix.shape[1])
            for name, matrix in layers.items()
        }
    )


def first_version(layers: Layers) -> pa.Table:
    """Our schema 1: for each layer the gaps between genes by frequency, and the counts, as bytes."""
    lists = {}
    for name, matrix in by_frequency(layers).items():
        for part, (coded, offsets) in zip(("genes", "counts"), columns(matrix, k=1, borders=()), strict=True):
            lists[f"{name}_{part}"] = pa.ListArray.from_arrays(offsets, coded)
    return pa.table(lists)


def peers(layers: Layers, folder: Path, annbatch_python: str) -> Iterator[tuple[str, float]]:
    """Each peer's name and bytes."""
    n_cells = next(iter(layers.values())).shape[0]
    few = {name: matrix[:DENSE_CELLS] for name, matrix in layers.items()}
    for label, compression in (("uncompressed", "uncompressed"), ("lz4, pyarrow's default", "lz4")):
        feather.write_feather(dense(few), str(folder / "dense"), compression=compression)
        yield f"dense feather, float32, {label}", size(folder / "dense") * n_cells / min(n_cells, DENSE_CELLS)
    for compression in ("gzip", None):
        ad.AnnData(layers=layers).write_h5ad(folder / f"{compression}.h5ad", compression=compression)
    yield "h5ad, CSR, gzip", size(folder / "gzip.h5ad")
    for codec in ("lz4", "zstd") if annbatch_python else ():
        command = [annbatch_python, "-W", "ignore", "-c", ANNBATCH, folder / "None.h5ad", folder / codec, codec]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield f"annbatch's zarr, CSR, {codec}" + ", its default" * (codec == "lz4"), size(folder / codec)
    for index, value in ((pa.int32(), pa.float32()), (pa.uint16(), pa.uint16())):
        feather.write_feather(as_lists(layers, index, value), str(folder / "lists"), compression="zstd")
        yield f"feather, list<{index}> + list<{value}>, zstd", size(folder / "lists")
    table = as_lists(layers, pa.int32(), pa.int32())
    packed = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name in table.column_names}
    for compression in ("none", "zstd"):
        parquet.write_table(
            table, folder / "parquet", compression=compression, use_dictionary=False, column_encoding=packed
        )
        yield "Parquet, DELTA_BINARY_PACKED" + ", zstd" * (compression == "zstd"), size(folder / "parquet")
    feather.write_feather(first_version(layers), str(folder / "first"), compression="zstd", compression_level=1)
    yield "our schema 1, counts only", size(folder / "first")


def ours(paths: Sequence[Path], folder: Path) -> tuple[int, int, int, int]:
    """Bytes of the shards of a corpus of these files, of their lists of counts alone, cells and nonzero counts."""
    filters = {"min_counts": 0, "min_gene_counts": 0, "group_samples": 32, "seed": 0}
    build(paths, folder / "corpus", samples={}, splits=Splits(), **filters)
    lists = cells = nonzero = 0
    for path in (folder / "corpus" / SHARDS_FOLDER).iterdir():
        with pa.ipc.open_file(path) as shard, (folder / "lists").open("wb") as sink:
            kept = [field.name for field in shard.schema if pa.types.is_list(field.type)]
            schema = pa.schema([shard.schema.field(name) for name in kept])
            options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=1))
            with pa.ipc.new_file(sink, schema, options=options) as writer:
                for number in range(shard.num_record_batches):
                    batch = shard.get_batch(number)
                    writer.write_batch(batch.select(kept))
                    cells += batch.num_rows
                    nonzero += sum(np.sum(batch[f"n_genes_{name}"].to_numpy()) for name in names.LAYERS)
        lists += size(folder / "lists")
    return size(folder / "corpus" / SHARDS_FOLDER), lists, cells, int(nonzero)


def counts_files(paths: Sequence[Path], folder: Path) -> list[Path]:
    """The files, those that are no counts files made into such, with all their genes under made-up ids."""
    made = []
    for number, path in enumerate(paths):
        adata = ad.read_h5ad(path, backed="r")
        if names.UNS in adata.uns:
            made.append(path)
            continue
        made.append(folder / f"{number}.h5ad")
        layers = {name: sparse.csr_matrix(adata.layers[name]) for name in names.LAYERS if name in adata.layers}
        genes = pd.DataFrame(index=[f"ENSG{gene:011d}" for gene in range(adata.n_vars)])
        write_counts(
            made[-1], layers=layers, sample=f"s{number}", barcodes=list(adata.obs_names), genes=genes, source={}
        )
    return made


def table(name: str, paths: Sequence[Path], peer_files: int, annbatch_python: str) -> None:
    """Print the rows of one corpus."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = counts_files(paths, folder)
        layers = read_layers(files[:peer_files], sys.maxsize)
        n_cells, n_nonzero = next(iter(layers.values())).shape[0], sum(matrix.nnz for matrix in layers.values())
        bits = bits_per_nonzero(layers)
        shards, lists, *same = ours(files[:peer_files], folder)
        assert same == [n_cells, n_nonzero], "the corpus holds other counts than its files"
        n_genes = layers[names.SPLICED].shape[1]
        print(
            f"\n**{name}**: {n_cells:,} cells × {n_genes:,} genes, {n_nonzero / n_cells:,.0f} nonzero counts a cell\n"
        )
        print("| | B/cell | bits/nonzero | × ours | × entropy |\n|---|--:|--:|--:|--:|")

        def row(label: str, n_bytes: float, cells: int = n_cells, nonzero: int = n_nonzero) -> None:
            each = 8 * n_bytes / nonzero
            by_ours = each / (8 * shards / n_nonzero)
            print(
                f"| {label} | {n_bytes / cells:,.0f} | {each:.2f} | {by_ours:.2f} | {each / bits.miller_madow:.2f} |",
                flush=True,
            )

        for label, n_bytes in peers(layers, folder, annbatch_python):
            row(label, n_bytes)
        row("**velocorpus shards**", shards)
        row("of these the counts", lists)
        if len(files) > peer_files:
            whole, lists, cells, nonzero = ours(files, folder)
            row(f"**velocorpus shards**, all {cells:,} cells", whole, cells, nonzero)
            row("of these the counts", lists, cells, nonzero)
        row("gene-wise entropy, plug-in with Miller and Madow's correction", bits.miller_madow * n_nonzero / 8)
        row("the same by negative binomials", bits.negative_binomial * n_nonzero / 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", nargs="+", action="append", required=True, metavar=("NAME", "FILE"))
    parser.add_argument("--peer-files", type=int, default=2)
    parser.add_argument("--annbatch-python", default="", help="without it the rows of annbatch are left out")
    options = parser.parse_args()
    if not options.annbatch_python:
        print("annbatch is left out: it needs Python ≥ 3.12, give --annbatch-python.")
    for name, *files in options.corpus:
        table(name, sorted(map(Path, files)), options.peer_files, options.annbatch_python)


if __name__ == "__main__":
    main()
