"""From expected captured molecules to counted ones: depth, batch, noise, and what no one can classify."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.simulate.kinetics import SimulatedCells


@dataclass(frozen=True)
class CountParameters:
    """Noise between expected and counted molecules."""

    depth_log_sd: float = 0.25  # of a cell's depth
    batch_depth_log_sd: float = 0.1  # of a sample's depth
    batch_gene_log_sd: float = 0.1  # of a gene in a sample, both layers alike
    dispersion: float = 0.2  # φ of the negative binomial: variance μ + φ μ²


@dataclass(frozen=True)
class Molecules:
    """Counted molecules: CSR int32 (cells, genes) per layer; factors `depth` of cells, `batch` of genes."""

    layers: dict[str, sparse.csr_matrix]
    depth: np.ndarray
    batch: np.ndarray


def draw_molecules(
    cells: SimulatedCells,
    ambiguous_share: np.ndarray,
    parameters: CountParameters,
    rng: np.random.Generator,
) -> Molecules:
    """Draw one sample's molecules.

    A count's mean is abundance × the cell's depth × the gene's batch factor; it is gamma-Poisson, spliced and
    unspliced independently; then each molecule of gene g becomes ambiguous with probability
    `ambiguous_share[g]`.
    """
    n_cells, n_genes = cells.spliced.shape
    p = parameters
    batch = np.exp(p.batch_gene_log_sd * rng.standard_normal(n_genes))
    depth = np.exp(p.batch_depth_log_sd * rng.standard_normal() + p.depth_log_sd * rng.standard_normal(n_cells))
    factor = depth[:, None] * batch
    layers: dict[str, sparse.csr_matrix] = {}
    ambiguous = np.zeros((n_cells, n_genes), dtype=np.int32)
    for layer, abundance in ((names.SPLICED, cells.spliced), (names.UNSPLICED, cells.unspliced)):
        mean = abundance * factor
        if p.dispersion > 0:
            mean = mean * rng.gamma(1 / p.dispersion, p.dispersion, mean.shape)
        drawn = rng.poisson(mean)
        lost = rng.binomial(drawn, ambiguous_share)
        ambiguous += lost.astype(np.int32)
        layers[layer] = sparse.csr_matrix((drawn - lost).astype(np.int32))
    layers[names.AMBIGUOUS] = sparse.csr_matrix(ambiguous)
    return Molecules(layers, depth, batch)
