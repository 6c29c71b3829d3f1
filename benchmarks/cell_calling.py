"""Our EmptyDrops against STARsolo's `EmptyDrops_CR`, on the same raw matrices by the same ten figures.

    python benchmarks/cell_calling.py --data $VELOCORPUS_TEST_DATA --work /tmp/cells

Real reads (blood 10x v3, bladder 10x v2) are aligned by STAR with the flags of the rule `align_starsolo`; both call the
cells of GeneFull's raw matrix. Those libraries are pieces with some thousand barcodes, too few for Cell Ranger's
figures, so smaller ones are tried too. `pancreas` keeps the figures: real cells, small ones (a real cell and as much
ambient RNA), and droplets of as many molecules, or up to 100, of ambient RNA alone, which is the sum of all cells.
`other seeds`: how many cells of ours differ when ours are drawn anew. Needs STAR on the PATH.
"""

import argparse
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse
from scipy.io import mmread

from velocorpus.cells.calling import Called
from velocorpus.cells.emptydrops import EmptyDrops, empty_drops
from velocorpus.errors import UserMistake

READS = {
    "blood, chr21": ("pbmc_10x_v3_chr21", "Chromium_3p_GEX_Human_PBMC_chr21_100000_S1", 2, "10xv3", 12, "21:881"),
    "bladder, chr19": ("bladder_10x_v2_chr19", "BLADDER58_S1", 1, "", 10, ""),
}
# Where the few largest barcodes are cells for sure, and where the smaller of the real cells must be rescued.
SMALLER = EmptyDrops(n_expected=60, ind_min=150, ind_max=5000, umi_min=10, umi_min_frac_median=0.001)
FIGURES = {
    "blood, chr21": [
        EmptyDrops(),
        EmptyDrops(n_expected=100, max_min_ratio=1, ind_min=500, ind_max=5000, umi_min=2, fdr=0.05),
    ],
    "bladder, chr19": [
        EmptyDrops(),
        SMALLER,
        EmptyDrops(n_expected=60, max_min_ratio=1.2, ind_min=150, ind_max=5000, umi_min=5, umi_min_frac_median=0.001),
        EmptyDrops(n_expected=60, max_min_ratio=1.2, ind_min=40, ind_max=5000, umi_min=4, umi_min_frac_median=0.001,
                   fdr=0.1),
    ],
    "pancreas": [EmptyDrops()],
}  # fmt: skip
COLUMNS = (
    "library", "barcodes", "figures, in STAR's order", "ours by", "both", "ours alone", "STAR's alone", "rescued",
    "other seeds",
)  # fmt: skip


def run(*command: object) -> None:
    """Run a tool; what it says is shown when it fails."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def align(name: str, data: Path, work: Path) -> Path:
    """The raw GeneFull matrix of real reads."""
    folder, stem, n_lanes, chemistry, umi_len, offset = READS[name]
    files = data / folder
    raw = work / "Solo.out" / "GeneFull" / "raw"
    if raw.exists():
        return raw
    genome, gtf = next(files.glob("*.fa.gz")), next(files.glob("*.gtf.gz"))
    run("velocorpus", "reference", "--fasta", genome, "--gtf", gtf, "--out", work / "ref",
        *(["--offset", offset] if offset else []))  # fmt: skip
    run("STAR", "--runMode", "genomeGenerate", "--genomeDir", work / "index", "--outFileNamePrefix", f"{work}/",
        "--genomeFastaFiles", work / "ref/genome.fa", "--sjdbGTFfile", work / "ref/genes.gtf",
        "--parametersFiles", work / "ref/star.params")  # fmt: skip
    whitelist: object = "None"  # the bladder's barcodes are of no list of 10x's
    if chemistry:
        whitelist = work / "whitelist.txt"
        run("velocorpus", "whitelist", chemistry, "--out", whitelist)
    matching = ["--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts"] if chemistry else []
    reads = [",".join(f"{files / stem}_L00{lane + 1}_R{n}_001.fastq.gz" for lane in range(n_lanes)) for n in (2, 1)]
    run("STAR", "--genomeDir", work / "index", "--parametersFiles", work / "ref/star_align.params",
        "--outFileNamePrefix", f"{work}/", "--outSAMtype", "None", "--readFilesCommand", "gzip", "-cdf",
        "--readFilesIn", *reads, "--soloType", "CB_UMI_Simple", "--soloFeatures", "GeneFull", "Gene",
        "--soloStrand", "Forward", "--soloCBwhitelist", whitelist, "--soloCBlen", 16, "--soloUMIstart", 17,
        "--soloUMIlen", umi_len, "--soloBarcodeReadLength", 0, "--soloUMIdedup", "1MM_CR",
        "--soloUMIfiltering", "MultiGeneUMI_CR", *matching, "--clipAdapterType", "CellRanger4",
        "--outFilterScoreMin", 30)  # fmt: skip
    return raw


def library(data: Path, raw: Path) -> Path:
    """The pancreas's cells among droplets, written as STAR's raw matrix."""
    adata = ad.read_h5ad(data / "matrices" / "pancreas_3696x2000.h5ad")
    real = sparse.csr_matrix(adata.layers["spliced"] + adata.layers["unspliced"]).astype(np.int64)
    rng = np.random.default_rng(0)
    ambient = np.asarray(real.sum(axis=0)).ravel() / real.sum()
    thinned = [
        rng.multinomial(rng.integers(500, 750), (cell / cell.sum() + ambient) / 2)
        for cell in real[rng.permutation(3696)[:600]].toarray()
    ]
    rich = rng.multinomial(rng.integers(500, 750, 600), ambient)
    empty = rng.multinomial(np.minimum(rng.poisson(40, 60_000), 100), ambient)
    counts = sparse.vstack([real, *map(sparse.csr_matrix, (thinned, rich, empty))]).tocsr()
    raw.mkdir(parents=True, exist_ok=True)
    barcodes = ("".join("ACGT"[(i >> 2 * k) & 3] for k in range(10)) for i in range(counts.shape[0]))
    (raw / "barcodes.tsv").write_text("".join(f"{barcode}\n" for barcode in barcodes))
    (raw / "features.tsv").write_text("".join(f"{gene}\t{gene}\tGene Expression\n" for gene in adata.var_names))
    entries = counts.tocoo()  # ascending by cell, as STAR wants them
    with (raw / "matrix.mtx").open("w") as out:
        print("%%MatrixMarket matrix coordinate integer general\n%", file=out)
        print(*counts.shape[::-1], counts.nnz, file=out)
        np.savetxt(out, np.stack([entries.col + 1, entries.row + 1, entries.data], axis=1), fmt="%d")
    return raw


def compare(name: str, raw: Path, figures: EmptyDrops, work: Path) -> str:
    """One row: cells of both, of ours alone, of STAR's alone, those of ours that EmptyDrops added, and its noise."""
    counts = sparse.csr_matrix(mmread(raw / "matrix.mtx").T)
    barcodes = np.array((raw / "barcodes.tsv").read_text().split())
    ten = list(vars(figures).values())[:-1]
    shutil.rmtree(work / "called", ignore_errors=True)
    run("STAR", "--runMode", "soloCellFiltering", raw, f"{work}/called/", "--outFileNamePrefix", f"{work}/called_",
        "--soloCellFilter", "EmptyDrops_CR", *ten)  # fmt: skip
    star = np.isin(barcodes, (work / "called" / "barcodes.tsv").read_text().split())
    try:
        called = empty_drops(counts, figures)
    except UserMistake:  # too few barcodes even for the knee
        called = Called(np.zeros(len(barcodes), dtype=bool), 0, "refused")
    ours = called.is_cell
    n_barcodes = int((np.asarray(counts.sum(axis=1)) > 0).sum())
    how = called.method.split()[0].rstrip(":")
    found = (ours & star).sum(), (ours & ~star).sum(), (star & ~ours).sum(), called.parameters.get("rescued", "-")
    seeds = [replace(figures, seed=seed) for seed in range(1, 5)] if how == "EmptyDrops" else []
    noise = sorted(int((ours ^ empty_drops(counts, other).is_cell).sum()) for other in seeds)
    row = (
        name,
        f"{n_barcodes:,}",
        " ".join(f"{figure:g}" for figure in ten),
        how,
        *found,
        f"{noise[0]} to {noise[-1]}" if noise else "-",
    )
    return f"| {' | '.join(map(str, row))} |"


def main() -> None:
    """Print the table of docs/import.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    options = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name, tried in FIGURES.items():
        work = options.work / name.split(",")[0]
        work.mkdir(parents=True, exist_ok=True)
        raw = library(options.data, work / "raw") if name == "pancreas" else align(name, options.data, work)
        for figures in tried:
            print(compare(name, raw, figures, work), flush=True)


if __name__ == "__main__":
    main()
