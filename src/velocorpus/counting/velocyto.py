"""velocyto itself, run as the separate program that it is: the slow engine on request, and the twin in our tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import sparse

from velocorpus.counting.alignments.bam import check_bam
from velocorpus.counting.rules import VELOCYTO_NAMES
from velocorpus.errors import UserMistake
from velocorpus.files import open_text
from velocorpus.reference.gtf import split_version

# It sorts a copy of the BAM with samtools, in so much memory a thread.
_SORT_MEMORY_MB = 768
# Its analysis, which counting does not call, is compiled by numba whenever velocyto starts: 12 of 16 CPU seconds.
NOTHING_COMPILED = {"NUMBA_DISABLE_JIT": "1"}


def run_velocyto(
    bam: Path | str,
    gtf: Path | str,
    barcodes: Sequence[str],
    folder: Path,
    *,
    logic: str = "permissive10x",
    threads: int = 1,
) -> Path:
    """Run velocyto in an empty `folder` and return the path of its loom file.

    The BAM is linked into the folder, because velocyto writes a sorted copy beside it; the GTF is unpacked there.
    What velocyto can't read (no NH tags, fewer than 1,001 tagged reads, a BAM not sorted by position) is refused
    with its own last words. Column order differs from run to run, and cells without a usable read are missing.
    """
    check_bam(bam)
    program = Path(sys.executable).parent / "velocyto"
    if not program.exists():
        found = shutil.which("velocyto")
        if found is None:
            raise UserMistake("velocyto is not installed; install velocorpus[velocyto], or use the engine `native`.")
        program = Path(found)
    (folder / "barcodes.tsv").write_text("".join(f"{barcode}\n" for barcode in barcodes), encoding="utf-8")
    with open_text(gtf) as source, (folder / "genes.gtf").open("w", encoding="utf-8") as target:
        shutil.copyfileobj(source, target)
    # velocyto resolves links before it decides where the sorted copy goes.
    bam_in_folder = folder / "reads.bam"
    try:
        os.link(Path(bam).resolve(), bam_in_folder)
    except OSError:
        shutil.copyfile(bam, bam_in_folder)
    command = [
        str(program), "run", str(bam_in_folder), str(folder / "genes.gtf"),
        "-b", str(folder / "barcodes.tsv"), "-o", str(folder / "out"), "-e", "sample",
        "-l", VELOCYTO_NAMES[logic], "-@", str(threads), "--samtools-memory", str(_SORT_MEMORY_MB),
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **NOTHING_COMPILED}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    loom = folder / "out" / "sample.loom"
    if done.returncode or not loom.exists():
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise UserMistake(
            f"velocyto stopped on {bam}: {words[-1] if words else 'without a word'}; use the engine `native`."
        )
    return loom


def aligned_to(
    layers: Mapping[str, sparse.csr_matrix],
    cells: Sequence[str],
    genes: Sequence[str],
    all_cells: Sequence[str],
    all_genes: Sequence[str],
) -> dict[str, sparse.csr_matrix]:
    """velocyto's matrices (cells × genes) on all cells and genes, in their order; those it left out have zeros."""
    row_of = {cell: i for i, cell in enumerate(all_cells)}
    column_of = {gene: i for i, gene in enumerate(all_genes)}
    rows = np.array([row_of[cell] for cell in cells], dtype=np.int64)
    columns = np.array([column_of[split_version(gene)[0]] for gene in genes], dtype=np.int64)
    placed = {}
    for layer, matrix in layers.items():
        entries = matrix.tocoo()
        placed[layer] = sparse.csr_matrix(
            (entries.data, (rows[entries.row], columns[entries.col])), shape=(len(all_cells), len(all_genes))
        )
    return placed
