"""Bytes a cell on disk, spliced + unspliced + ambiguous, lossless: ours beside what others use, on the same cells.

python benchmarks/corpus_size.py counts.h5ad [more.h5ad …]
"""

import argparse
import tempfile
from pathlib import Path

import anndata as ad
import pyarrow as pa
from pyarrow import feather
from scipy import sparse

from velocorpus import names
from velocorpus.corpus.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.counting.counts_file import read_counts


def csr_as_lists(layers: dict[str, sparse.csr_matrix], index: pa.DataType, value: pa.DataType) -> pa.Table:
    """One row a cell: gene numbers and counts of each layer as plain Arrow lists."""
    columns = {}
    for name, matrix in layers.items():
        offsets = pa.array(matrix.indptr, pa.int32())
        columns[f"{name}_genes"] = pa.ListArray.from_arrays(offsets, pa.array(matrix.indices).cast(index))
        columns[f"{name}_counts"] = pa.ListArray.from_arrays(offsets, pa.array(matrix.data).cast(value))
    return pa.table(columns)


def sizes(path: Path, folder: Path) -> tuple[dict[str, int], int, int]:
    """Bytes by format, cells, nonzero counts of one sample (all cells and genes)."""
    counts = read_counts(path)
    layers = {name: sparse.csr_matrix(counts.layers[name]) for name in names.LAYERS}
    found = {"dense float32 (computed)": 4 * len(layers) * counts.n_obs * counts.n_vars}
    plain = ad.AnnData(layers=layers)
    plain.write_h5ad(folder / "plain.h5ad", compression="gzip")
    found["h5ad CSR gzip"] = (folder / "plain.h5ad").stat().st_size
    for label, index, value in (
        ("Arrow list<int32> + float32 zstd", pa.int32(), pa.float32()),
        ("Arrow list<uint16> x 2 zstd", pa.uint16(), pa.uint16()),
    ):
        feather.write_feather(csr_as_lists(layers, index, value), str(folder / "lists.feather"), compression="zstd")
        found[label] = (folder / "lists.feather").stat().st_size
    build(
        [path],
        folder / "corpus",
        samples={},
        splits=Splits(),
        min_counts=0,
        min_gene_counts=0,
        group_samples=1,
        seed=0,
    )
    found["velocorpus shards"] = sum(file.stat().st_size for file in (folder / "corpus" / "shards").glob("*.feather"))
    return found, counts.n_obs, sum(matrix.nnz for matrix in layers.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=Path, nargs="+")
    for path in parser.parse_args().counts:
        with tempfile.TemporaryDirectory() as folder:
            found, n_cells, n_nonzero = sizes(path, Path(folder))
        ours = found["velocorpus shards"]
        print(f"\n{path.parent.name}/{path.name}: {n_cells} cells, {n_nonzero / n_cells:.0f} nonzero counts a cell")
        for label, size in found.items():
            bits = 8 * size / n_nonzero
            print(f"  {label:34} {size / n_cells:10.0f} B/cell {bits:8.2f} bits/nonzero {size / ours:6.2f} x ours")


if __name__ == "__main__":
    main()
