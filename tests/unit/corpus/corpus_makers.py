"""Small samples and corpora with good defaults, so that each test states only what matters."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus.corpus.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.counting.counts_file import write_counts

HUMAN = [f"ENSG{i:011d}" for i in range(300)]
MOUSE = [f"ENSMUSG{i:011d}" for i in range(200)]


def random_layers(seed, n_cells, n_genes, density=0.3):
    """Mostly ones, some counts above 255, a few above 65,535; the last cell is empty but for one spliced count."""
    rng = np.random.default_rng(seed)
    layers = {}
    for layer in ("spliced", "unspliced", "ambiguous"):
        counts = rng.geometric(0.4, (n_cells, n_genes)) * (rng.random((n_cells, n_genes)) < density)
        counts = counts * np.where(rng.random(counts.shape) < 0.01, 300, 1)
        counts = counts * np.where(rng.random(counts.shape) < 0.001, 70_000, 1)
        counts[-1] = 0
        layers[layer] = counts
    layers["spliced"][-1, 0] = 1
    return {name: sparse.csr_matrix(counts) for name, counts in layers.items()}


def make_counts(folder, sample="a", *, layers=None, seed=0, n_cells=40, genes=HUMAN, obs=None, study=None):
    """Write one sample's counts file and return its path."""
    path = Path(folder) / sample / "counts.h5ad"
    layers = layers if layers is not None else random_layers(seed, n_cells, len(genes))
    n_cells = next(iter(layers.values())).shape[0]
    symbols = ["MT-ND1" if i == 1 else f"G{i}" for i in range(len(genes))]
    write_counts(
        path,
        layers=layers,
        sample=sample,
        barcodes=[f"BC{i:05d}" for i in range(n_cells)],
        genes=pd.DataFrame({"symbol": symbols}, index=genes),
        source={"study": study or f"study_{sample}", "quantifier": "import"},
        obs=obs,
    )
    return path


def make_corpus(folder, inputs, **changes):
    """Build a corpus of counts files, every cell and gene kept."""
    options = {
        "samples": {},
        "splits": Splits(),
        "min_counts": 1,
        "min_gene_counts": 0,
        "group_samples": 2,
        "seed": 0,
    }
    return build(inputs, folder, **(options | changes))
