"""What each correction of velocyto does to the counts of a BAM, and to their distance from the truth where it is known.

python benchmarks/count_corrections.py --bam BAM --gtf genes.gtf.gz --barcodes barcodes.tsv [--truth truth.h5ad]
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


def row(name: str, counts: Counts, truth: dict[str, sparse.csr_matrix] | None) -> str:
    cells = [f"{name:18}"]
    for layer in names.LAYERS:
        error = ""
        if truth is not None:
            off = float(np.abs(counts.layers[layer] - truth[layer]).sum())
            error = f"{off / max(float(truth[layer].sum()), 1.0):.4f}"
        cells.append(f"{int(counts.layers[layer].sum()):>10,} {error:>7}")
    return "  ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for option in ("--bam", "--gtf", "--barcodes", "--truth"):
        parser.add_argument(option, type=Path, required=option != "--truth")
    options = parser.parse_args()
    models, barcodes = read_gtf(options.gtf), read_barcodes(options.barcodes)
    plain = count_bam(options.bam, models, barcodes)
    truth = true_layers(options.truth, plain) if options.truth else None
    print(f"{'corrected':18}  " + "  ".join(f"{layer:>10}   error" for layer in names.LAYERS))
    print(row("nothing", plain, truth))
    # The mask says nothing without one.
    for name in (correction for correction in CORRECTIONS if correction != MASK):
        print(row(name, count_bam(options.bam, models, barcodes, correct=frozenset([name])), truth))
    print(row("all", count_bam(options.bam, models, barcodes, correct=frozenset(CORRECTIONS)), truth))


if __name__ == "__main__":
    main()
