"""How few bits a nonzero count could take when only its gene and its cell's depth are known.

python benchmarks/entropy.py counts.h5ad [more.h5ad …] [--cells 20000]
python benchmarks/entropy.py --check

Two estimates of one quantity, the mean code length of a cell's counts (zeros too: where a count is, is what costs):

- the plug-in entropy of a gene's counts among the cells of one depth decile of the layer, with Miller and Madow's
  correction. It assumes no distribution. A value that no cell shows is missing, so it is too low for few cells: on the
  realistic cells 1.4 % lower at 2,048 than at 20,000. Below 1,000 cells there are fewer classes of depth, of 100 cells.
- the code length under a negative binomial with mean = gene's share of all counts × cell's depth, and the gene's
  dispersion by moments. Two numbers a gene are fitted and not paid for, so it is too low for few cells as well.

Neither bounds what a code can reach: genes of a cell tell of each other (cell types), and of that neither knows.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.special import gammaln, xlogy

from velocorpus import names

Layers = dict[str, sparse.csr_matrix]
MOST_CLASSES, LEAST_CELLS = 10, 100  # of depth; of one class


class Bits(NamedTuple):
    """Bits of a whole matrix, or per nonzero count."""

    plug_in: float
    miller_madow: float
    negative_binomial: float


def read_layers(paths: Sequence[Path], n_cells: int) -> Layers:
    """The first cells of these files, one after another: integer CSR (int32, genes ascending) of each layer there is.

    Raises `ValueError` where a count is no whole number.
    """
    parts: dict[str, list[sparse.csr_matrix]] = {}
    room = n_cells
    for path in paths:
        if room > 0:
            adata = ad.read_h5ad(path)[:room]
            room -= adata.n_obs
            for name in names.LAYERS:
                if name in adata.layers:
                    parts.setdefault(name, []).append(sparse.csr_matrix(adata.layers[name]))
    layers = {name: sparse.vstack(part, format="csr") for name, part in parts.items()}
    for matrix in layers.values():
        if np.any(matrix.data != np.round(matrix.data)):
            raise ValueError(f"{paths[0]} holds counts that are no whole numbers; give raw counts.")
        matrix.data = matrix.data.astype(np.int32)
        matrix.eliminate_zeros()
        matrix.sort_indices()
    return layers


def plug_in(matrix: sparse.csr_matrix) -> tuple[float, float]:
    """Bits of a matrix by the plug-in entropy of count given gene and depth decile; the same, corrected.

    With n cells in a class of depth and c of them showing a value, a gene takes Σ c·log(n / c); the correction adds
    half a nat for each value but one (Miller 1955), over all genes and classes.
    """
    order = np.argsort(matrix.sum(axis=1).A1, kind="stable")
    nats = extra = 0.0
    for cells in np.array_split(order, np.clip(len(order) // LEAST_CELLS, 1, MOST_CLASSES)):
        part = matrix[cells].tocoo()
        step = int(part.data.max(initial=0)) + 1
        _, shown = np.unique(part.col.astype(np.int64) * step + part.data, return_counts=True)
        zeros = len(cells) - np.bincount(part.col, minlength=part.shape[1])
        nats += part.shape[1] * xlogy(len(cells), len(cells)) - xlogy(shown, shown).sum() - xlogy(zeros, zeros).sum()
        # A gene's values but one, summed: values above zero, and zero itself where it is seen, less one a gene.
        extra += (len(shown) + np.count_nonzero(zeros) - part.shape[1]) / 2
    return nats / np.log(2), (nats + extra) / np.log(2)


def negative_binomial(matrix: sparse.csr_matrix, block: int = 256) -> float:
    """Bits of a matrix under a negative binomial: mean μ = share × depth, variance μ + φμ², φ of each gene by moments.

    `block` cells at a time are dense (block × genes float64). φ is at least 1e-6, which is Poisson to all digits shown.
    """
    matrix = matrix[:, matrix.getnnz(axis=0) > 0].astype(np.float64)
    depth = matrix.sum(axis=1).A1
    share = matrix.sum(axis=0).A1 / depth.sum()
    squares = matrix.multiply(matrix).sum(axis=0).A1
    of_means = share**2 * (depth @ depth)  # Σ μ²
    deviation = squares - 2 * share * (matrix.T @ depth) + of_means
    size = 1 / np.maximum((deviation - share * depth.sum()) / of_means, 1e-6)
    log_likelihood = 0.0
    for start in range(0, len(depth), block):
        part = matrix[start : start + block].tocoo()
        x, r, mean = part.data, size[part.col], share[part.col] * depth[start + part.row]
        log_likelihood -= (size * np.log1p(np.outer(depth[start : start + block], share / size))).sum()
        log_likelihood += (gammaln(x + r) - gammaln(r) - gammaln(x + 1) + x * np.log(mean / (r + mean))).sum()
    return -log_likelihood / np.log(2)


def bits_per_nonzero(layers: Layers) -> Bits:
    """Both estimates for all layers of the same cells, by nonzero count."""
    each = [(*plug_in(matrix), negative_binomial(matrix)) for matrix in layers.values()]
    return Bits(*(np.sum(each, axis=0) / sum(matrix.nnz for matrix in layers.values())))


def check() -> None:
    """Hold both estimates against closed forms."""
    # Four cells show a gene 0, 0, 1, 1 times and another always 5 times: one bit a cell, and nothing.
    plain, corrected = plug_in(sparse.csr_matrix(np.array([[0, 5], [0, 5], [1, 5], [1, 5]])))
    assert np.allclose([plain, corrected], [4, 4 + 0.5 / np.log(2)]), (plain, corrected)
    # Geometric counts (a negative binomial of size 1) have the entropy h(p) / p, h being that of a coin.
    p = 0.3
    drawn = np.random.default_rng(0).geometric(p, (4_000, 500)) - 1
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)) / p
    plain, corrected = (bits / drawn.size / entropy for bits in plug_in(sparse.csr_matrix(drawn)))
    fitted = negative_binomial(sparse.csr_matrix(drawn)) / drawn.size / entropy
    print(f"geometric: plug-in {plain:.4f}, corrected {corrected:.4f}, negative binomial {fitted:.4f} of h(p)/p")
    assert np.allclose([corrected, fitted], 1, atol=0.005)
    # Poisson counts of cells that differ four times in depth: knowing the depth must pay.
    depth = np.repeat([1.0, 4.0], 2_000)[:, None]
    drawn = np.random.default_rng(1).poisson(depth * np.ones(500))
    k = np.arange(40)
    entropy = sum(-np.exp(ll) @ ll for mean in (1, 4) for ll in [xlogy(k, mean) - mean - gammaln(k + 1)])
    entropy *= drawn.size / 2 / np.log(2)
    found = [plug_in(sparse.csr_matrix(drawn))[1] / entropy, negative_binomial(sparse.csr_matrix(drawn)) / entropy]
    print(f"Poisson of two depths: corrected {found[0]:.4f}, negative binomial {found[1]:.4f} of the entropy")
    assert np.allclose(found, 1, atol=0.005), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=Path, nargs="*")
    parser.add_argument("--cells", type=int, default=20_000, help="read this many cells of each file at most")
    parser.add_argument("--check", action="store_true", help="compare with closed forms")
    options = parser.parse_args()
    if options.check:
        check()
    for path in options.counts:
        layers = read_layers([path], options.cells)
        cells, nonzero = layers[names.SPLICED].shape[0], sum(matrix.nnz for matrix in layers.values())
        bits = bits_per_nonzero(layers)
        print(f"{path.parent.name}/{path.name}: {cells} cells, {nonzero / cells:.0f} nonzero counts a cell; bits each:")
        print("  " + ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in bits._asdict().items()))


if __name__ == "__main__":
    main()
