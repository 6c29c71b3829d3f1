"""How far from uniform the loader shuffles, by the blocks it holds at once and by how many studies share a shard.

python benchmarks/shuffling.py [--studies 64] [--cells 1000] [--windows 1 4 16 64] [--groups 1 32] [--epochs 4]

A corpus of studies with few genes and as many cells each; batches of 256. For each setting, means over the epochs of:
- studies: distinct studies in a batch;
- chi2: Pearson's statistic of a batch's cells by study, over its expectation where cells are drawn without replacement;
- |r|: correlation of a cell's row in the corpus (the order of the files) with its batch's number in the epoch;
- distance: batches between two cells that are neighbours in a file, as a share of the epoch: mean and median;
- together: pairs of such neighbours that are in one batch.
A random permutation goes the same way and stands first. The order within a batch means nothing, so a cell's place is
its batch's.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse, stats

from velocorpus import names
from velocorpus.corpus.building.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import Corpus
from velocorpus.counting.counts_file import write_counts
from velocorpus.data.loader import Loader

BATCH, N_GENES = 256, 8


def counts_files(folder: Path, n_studies: int, n_cells: int) -> list[Path]:
    """One sample a study, every cell with each gene once."""
    genes = pd.DataFrame(index=[f"ENSG{gene:011d}" for gene in range(N_GENES)])
    matrix = sparse.csr_matrix(np.ones((n_cells, N_GENES), np.int32))
    barcodes = [np.base_repr(cell, 4).zfill(16).translate(str.maketrans("0123", "ACGT")) for cell in range(n_cells)]
    paths = []
    for number in range(n_studies):
        study = f"study_{number:04}"
        paths.append(folder / study / "counts.h5ad")
        paths[-1].parent.mkdir()
        layers = {names.SPLICED: matrix, names.UNSPLICED: matrix}
        source = {"quantifier": "synthetic", names.STUDY: study}
        write_counts(paths[-1], layers=layers, sample=study, barcodes=barcodes, genes=genes, source=source)
    return paths


def batches(corpus: Corpus, window: int, epoch: int) -> list[np.ndarray]:
    """The rows of every batch of one epoch."""
    loader = Loader(
        corpus,
        "train",
        batch_cells=BATCH,
        seed=0,
        modalities=(names.SPLICED,),
        max_genes=N_GENES,
        truncation="top",
        window_blocks=window,
    )
    return [batch.rows_B.numpy() for batch in loader.one_epoch(epoch)]


def figures(found: list[np.ndarray], study_of: np.ndarray) -> dict[str, float]:
    """What the module's docstring lists, of one epoch."""
    n = len(study_of)
    assert np.array_equal(np.sort(np.concatenate(found)), np.arange(n)), "not every cell once"
    sizes = np.bincount(study_of)
    full = [np.bincount(study_of[rows], minlength=len(sizes)) for rows in found if len(rows) == BATCH]
    expected = BATCH * sizes / n
    chi2 = np.array([((seen - expected) ** 2 / expected).sum() for seen in full])
    place = np.empty(n)
    for number, rows in enumerate(found):
        place[rows] = number
    apart = np.abs(np.diff(place))
    return {
        "studies": float(np.mean([(seen > 0).sum() for seen in full])),
        "chi2": float(chi2.mean() / ((len(sizes) - 1) * (n - BATCH) / (n - 1))),
        "|r|": float(abs(np.corrcoef(np.arange(n), place)[0, 1])),
        "mean distance": float(apart.mean() / len(found)),
        "median": float(np.median(apart) / len(found)),
        "together, %": float(100 * (apart == 0).mean()),
    }


def row(label: str, every: list[dict[str, float]]) -> str:
    """A line of the table: means over epochs."""
    means = [np.mean([one[what] for one in every]) for what in every[0]]
    form = (".1f", ".2f", ".3f", ".3f", ".3f", ".1f")
    return f"| {label} | " + " | ".join(f"{mean:{f}}" for mean, f in zip(means, form, strict=True)) + " |"


def main() -> None:
    """Build, draw, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=64)
    parser.add_argument("--cells", type=int, default=1000, help="of each study")
    parser.add_argument("--windows", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--groups", type=int, nargs="+", default=[1, 32], help="studies that share a shard")
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    n = options.studies * options.cells
    absent = stats.hypergeom(n, options.cells, BATCH).pmf(0)
    print(f"Expected of uniform draws: {options.studies * (1 - absent):.1f} studies, chi2 1, mean distance .333, .293")
    print("| studies a shard, blocks at once | studies | chi2 | \\|r\\| | mean distance | median | together, % |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        counts = counts_files(Path(folder), options.studies, options.cells)
        for group in options.groups:
            filters = {"min_counts": 0, "min_gene_counts": 0, "group_samples": group, "seed": 0}
            corpus = Corpus(build(counts, Path(folder) / f"of_{group}", samples={}, splits=Splits(), **filters))
            study_of = np.unique(corpus.read("train").obs[names.STUDY].to_numpy(), return_inverse=True)[1]
            if group == options.groups[0]:
                uniform = [np.random.default_rng(epoch).permutation(n) for epoch in range(options.epochs)]
                parts = [[order[i : i + BATCH] for i in range(0, n, BATCH)] for order in uniform]
                print(row("a random permutation", [figures(found, study_of) for found in parts]))
            for window in options.windows:
                every = [figures(batches(corpus, window, epoch), study_of) for epoch in range(options.epochs)]
                print(row(f"{group}, {window}", every), flush=True)


if __name__ == "__main__":
    main()
