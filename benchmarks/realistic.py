"""Counts files of synthetic cells that are as large and as skewed as real ones: 36,601 genes and the medians below.

python benchmarks/realistic.py --out FOLDER [--samples 20] [--cells 10000] [--seed 0]

Not biology: cells of 24 types; a gene's share is log-normal, its unspliced share follows the spliced one loosely, a
type moves each gene's share and a cell's depth is log-normal. Molecules are drawn one by one. The log-normals' widths
are solved for so that the median cell expresses as many genes, with as many molecules, as `MEDIANS` says. A sample of
10,000 cells takes about 20 seconds of a core and 150 MB.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numba import njit
from scipy import optimize, sparse

from velocorpus import names
from velocorpus.counting.counts_file import write_counts

N_GENES = 36_601
N_TYPES = 24
DEPTH_SPREAD = 0.5  # of the log of a cell's molecules
# Genes expressed and molecules of the median cell, by layer.
MEDIANS = {names.SPLICED: (2_214, 7_509), names.UNSPLICED: (1_103, 1_906), names.AMBIGUOUS: (349, 500)}


def shares(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Each type's shares of the genes by layer: `N_TYPES` × `N_GENES`, rows sum to 1."""
    base = rng.standard_normal(N_GENES)
    found = {}
    for layer, (n_expressed, n_molecules) in MEDIANS.items():
        own = base if layer == names.SPLICED else 0.6 * base + 0.8 * rng.standard_normal(N_GENES)
        of_type = own + 0.5 * rng.standard_normal((N_TYPES, N_GENES))

        def share(width: float, of_type: np.ndarray = of_type) -> np.ndarray:
            weights = np.exp(width * of_type)
            return weights / weights.sum(axis=1, keepdims=True)

        def too_many(width: float, n: int = n_molecules, wanted: int = n_expressed) -> float:
            return float(-np.expm1(-n * share(width)).sum(axis=1).mean() - wanted)

        found[layer] = share(optimize.brentq(too_many, 0.5, 6.0))
    return found


def samples(n_samples: int, n_cells: int, seed: int) -> Iterator[tuple[str, dict[str, sparse.csr_matrix]]]:
    """Samples of `n_cells` cells, one after another."""
    of_type = {layer: np.cumsum(share, axis=1) for layer, share in shares(np.random.default_rng(seed)).items()}
    for number in range(n_samples):
        rng = np.random.default_rng([seed, number])
        types = rng.integers(0, N_TYPES, n_cells)
        depth = np.exp(DEPTH_SPREAD * rng.standard_normal(n_cells))
        layers = {}
        for layer, (_, n_molecules) in MEDIANS.items():
            drawn = _draw(of_type[layer], types, n_molecules * depth, int(rng.integers(2**31)))
            layers[layer] = sparse.csr_matrix((drawn[2], drawn[1], drawn[0]), (n_cells, N_GENES))
        yield f"realistic_{number:03d}", layers


@njit(cache=True)
def _draw(cumulative, types, molecules, seed):  # type: ignore[no-untyped-def]
    """CSR of Poisson counts, `molecules` expected in each cell. The molecules come as events of a Poisson process along
    the cumulative shares, so genes are met in order: nothing is searched, sorted or counted in a table of all genes.
    """
    np.random.seed(seed)  # noqa: NPY002  numba's own generator
    room = int(1.01 * molecules.sum()) + 10_000
    indptr, indices, data = np.zeros(len(types) + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.int32)
    at = 0
    for cell in range(len(types)):
        row, gene, last = cumulative[types[cell]], 0, -1
        event = np.random.exponential() / molecules[cell]  # noqa: NPY002
        while event < row[-1]:
            while row[gene] <= event:
                gene += 1
            if gene != last:
                indices[at], data[at], last = gene, 0, gene
                at += 1
            data[at - 1] += 1
            event += np.random.exponential() / molecules[cell]  # noqa: NPY002
        indptr[cell + 1] = at
    return indptr, indices[:at].copy(), data[:at].copy()


def write(out: Path, n_samples: int, n_cells: int, seed: int) -> list[Path]:
    """Write the samples that are not there yet, each a study of its own; their files."""
    ids = [f"ENSG{gene:011d}" for gene in range(N_GENES)]
    genes = pd.DataFrame({names.SYMBOL: ids}, index=ids)
    paths = [out / f"realistic_{number:03d}" / "counts.h5ad" for number in range(n_samples)]
    if not all(path.exists() for path in paths):
        for path, (sample, layers) in zip(paths, samples(n_samples, n_cells, seed), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            barcodes = [
                np.base_repr(cell, 4).zfill(16).translate(str.maketrans("0123", "ACGT")) for cell in range(n_cells)
            ]
            source = {"quantifier": "synthetic", names.STUDY: sample}
            write_counts(path, layers=layers, sample=sample, barcodes=barcodes, genes=genes, source=source)
            print(f"{path}: {n_cells} cells", flush=True)
    return paths


def main() -> None:
    """Write, and say how the median cell came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write(options.out, options.samples, options.cells, options.seed)
    _, layers = next(samples(1, 1_000, options.seed))
    for layer, matrix in layers.items():
        n_genes, n_molecules = np.median(np.diff(matrix.indptr)), np.median(matrix @ np.ones(N_GENES))
        print(f"{layer}: the median cell has {n_genes:.0f} genes and {n_molecules:.0f} molecules")


if __name__ == "__main__":
    main()
