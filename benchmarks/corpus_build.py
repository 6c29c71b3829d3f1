"""Peak memory and CPU seconds of `velocorpus corpus build`, by size of the corpus: memory must not grow with cells.

python benchmarks/corpus_build.py --cells 5000 --samples 1 2 4 [--group-samples 32]

Each sample has cells of the realistic synthetic corpus: 36,601 genes drawn by Zipf's law, about 2,214, 1,103 and 349 of
them expressed (spliced, unspliced, ambiguous). Every build is a process of its own, over counts files made before.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus.corpus.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.counting.counts_file import write_counts

N_GENES = 36_601
EXPRESSED = {"spliced": 2214, "unspliced": 1103, "ambiguous": 349}


def sample(path: Path, name: str, n_cells: int, rng: np.random.Generator) -> None:
    """Write one sample's counts."""
    share = 1 / (10 + np.arange(N_GENES))
    cumulative = np.cumsum(share / share.sum())
    layers = {}
    for layer, median in EXPRESSED.items():
        genes = []
        for drawn in (median * rng.lognormal(0, 0.4, n_cells) * 1.5).astype(int) + 1:
            genes.append(np.unique(np.searchsorted(cumulative, rng.random(drawn)).clip(max=N_GENES - 1)))
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in genes])])
        counts = rng.geometric(0.45, indptr[-1])
        layers[layer] = sparse.csr_matrix((counts, np.concatenate(genes), indptr), shape=(n_cells, N_GENES))
    index = pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(N_GENES)])
    barcodes = [f"{code:016d}" for code in rng.choice(10**9, n_cells, replace=False)]
    write_counts(path, layers=layers, sample=name, barcodes=barcodes, genes=index, source={"organism": "human"})


def build_here(folder: Path, n_samples: int, group_samples: int) -> None:
    """Build a corpus in this process; prints CPU seconds and peak memory (MB)."""
    counts = sorted(folder.glob("*.h5ad"))[:n_samples]
    filters = {"min_counts": 1000, "min_gene_counts": 1001, "group_samples": group_samples, "seed": 0}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        build(counts, Path(out) / "c", samples={}, splits=Splits(), **filters)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=5000, help="of each sample")
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--group-samples", type=int, default=32)
    parser.add_argument("--here", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.here:
        build_here(given.here, given.samples[0], given.group_samples)
        return
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for i in range(max(given.samples)):
            sample(Path(scratch) / f"s{i:04d}.h5ad", f"s{i:04d}", given.cells, np.random.default_rng(i))
        for n in given.samples:
            command = [sys.executable, __file__, "--here", scratch, "--samples", str(n)]
            done = subprocess.run(
                [*command, "--group-samples", str(given.group_samples)], check=True, capture_output=True, text=True
            )
            found.append((n * given.cells, *map(float, done.stdout.split())))
    print("| cells | CPU s | cells per CPU s | peak MB |\n|---|---|---|---|")
    for cells, seconds, peak in found:
        print(f"| {cells:,} | {seconds:.1f} | {cells / seconds:,.0f} | {peak:,.0f} |")
    if len(found) > 1:
        cells, seconds, peaks = zip(*found, strict=True)
        print(
            f"\nFitted: {1e6 * np.polyfit(cells, seconds, 1)[0]:,.0f} CPU µs and "
            f"{2**20 * np.polyfit(cells, peaks, 1)[0]:,.0f} bytes of memory a cell."
        )


if __name__ == "__main__":
    main()
