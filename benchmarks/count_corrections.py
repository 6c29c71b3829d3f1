"""What each correction of velocyto does to the counts of a simulated BAM, and to their distance from the truth.

python benchmarks/count_corrections.py --bam BAM --gtf genes.gtf.gz --barcodes barcodes.tsv --truth truth.h5ad
"""

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse

from velocorpus import names
from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.corrections import CORRECTIONS, MASK
from velocorpus.counting.count import Counts, count_bam
from velocorpus.reference.gtf import read_gtf


def true_layers(path: Path, counts: Counts) -> dict[str, sparse.csr_matrix]:
    """The true molecules on the cells and genes of `counts`, in their order."""
    truth = ad.read_h5ad(path)
    truth.obs_names = [name.split(":", 1)[1] for name in truth.obs_names]
    chosen = truth[list(counts.barcodes), list(counts.genes.index)]
    return {layer: sparse.csr_matrix(chosen.layers[layer]) for layer in names.LAYERS}


def row(name: str, counts: Counts, truth: dict[str, sparse.csr_matrix]) -> str:
    cells = [f"{name:18}", f"{counts.qc['reads']['in_molecules_spliced']:>12,}"]
    for layer in names.LAYERS:
        error = float(np.abs(counts.layers[layer] - truth[layer]).sum()) / max(float(truth[layer].sum()), 1.0)
        cells.append(f"{int(counts.layers[layer].sum()):>10,} {error:7.4f}")
    return "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--bam", "--gtf", "--barcodes", "--truth"):
        parser.add_argument(option, type=Path, required=True)
    options = parser.parse_args()
    models, barcodes = read_gtf(options.gtf), read_barcodes(options.barcodes)
    plain = count_bam(options.bam, models, barcodes)
    truth = true_layers(options.truth, plain)
    print(f"{'corrected':18}  {'spliced reads':>12}  " + "  ".join(f"{layer:>10}   error" for layer in names.LAYERS))
    print(row("nothing", plain, truth))
    # The mask says nothing without one.
    for name in (correction for correction in CORRECTIONS if correction != MASK):
        print(row(name, count_bam(options.bam, models, barcodes, correct=frozenset([name])), truth))
    print(row("all", count_bam(options.bam, models, barcodes, correct=frozenset(CORRECTIONS)), truth))


if __name__ == "__main__":
    main()
