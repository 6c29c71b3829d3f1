"""Small samples and corpora with good defaults, so that each test states only what matters."""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse
from typer.testing import CliRunner

from velocorpus.cli.corpus import app
from velocorpus.corpus.building.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.counting.counts_file import read_counts, write_counts
from velocorpus.counting.importing.bring_in import bring_in
from velocorpus.errors import UserMistake

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


def assert_holds(corpus, path, **read):
    """The corpus holds exactly the counts of a counts file."""
    adata = read_counts(path)
    sample = adata.uns["velocorpus"]["sample"]
    cells = corpus.read(samples=[sample], all_genes=True, **read)
    row_of = {cell: row for row, cell in enumerate(adata.obs_names)}
    rows = [row_of[cell] for cell in cells.obs["cell_id"].to_pylist()]
    assert sorted(rows) == list(range(adata.n_obs))
    tokens = corpus.genes.tokens(adata.var_names)
    for layer, csr in cells.layers.items():
        found = sparse.csr_matrix((csr.data, csr.indices, csr.indptr), shape=(len(cells), csr.n_genes))
        assert (found[:, tokens] != adata.layers[layer][rows]).nnz == 0
        assert found.sum() == adata.layers[layer].sum()


def imported(folder, sample, ids, symbols, table=None):
    """Counts of another tool, whose genes are named by `ids`, brought in."""
    rng = np.random.default_rng(len(ids))
    layers = {name: sparse.csr_matrix(rng.poisson(2, (6, len(ids)))) for name in ("spliced", "unspliced")}
    cells = [f"{'ACGT' * 3}{'ACGT'[i % 4] * 2}{'ACGT'[i // 4] * 2}" for i in range(6)]
    adata = ad.AnnData(layers["spliced"], pd.DataFrame(index=cells), pd.DataFrame({"s": symbols}, index=ids))
    adata.layers.update(layers)
    adata.write_h5ad(folder / f"{sample}.given.h5ad")
    out = folder / sample / "counts.h5ad"
    bring_in(folder / f"{sample}.given.h5ad", out, sample=sample, gene_table=table, organism="human")
    return out


def run(*arguments, code=0):
    """Run `velocorpus corpus …` in this process; returns what it says, or the mistake that it ends with."""
    result = CliRunner().invoke(app, [str(x) for x in arguments])
    if code == 0:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, UserMistake)
    return str(result.exception)
