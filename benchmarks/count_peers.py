"""The peers of our counter on the same sample: a pysam loop, velocyto, STARsolo; and where counts differ."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import anndata as ad
import numpy as np
from scipy import sparse

from count_sample import DUMMY, Sample
from processes import Run, measured, say
from velocorpus import names
from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.imported import bare_barcodes
from velocorpus.counting.importing.importers import read_any
from velocorpus.counting.importing.loom import read_loom
from velocorpus.counting.velocyto import aligned_to
from velocorpus.files import replacing

PYSAM_LOOP = """
import sys
import pysam
n = 0
with pysam.AlignmentFile(sys.argv[1], "rb", check_sq=False) as bam:
    for read in bam.fetch(until_eof=True):
        if read.is_unmapped or read.get_tag("NH") != 1 or not (read.has_tag("CB") and read.has_tag("UB")):
            continue
        cell, umi, cigar = read.get_tag("CB"), read.get_tag("UB"), read.cigartuples
        n += 1
print(n)
"""


def run_pysam(sample: Sample, folder: Path) -> Run:
    """A loop that reads NH, CB, UB and CIGAR of every record, and does nothing with them."""
    wall, cpu, peak, _ = measured([sys.executable, "-c", PYSAM_LOOP, str(sample.bam)], folder)
    return Run(wall, cpu, peak, sample.n_records / wall)


def run_velocyto(sample: Sample, folder: Path) -> Run:
    """velocyto 0.17.17 with its own sorting, which it does beside its first pass.

    `without_sort_s`: the same without the time that it waited for samtools; `counting_s`: its second pass.
    """
    os.link(sample.bam, folder / "reads.bam")  # it writes its sorted copy beside the BAM
    command = [str(Path(sys.executable).parent / "velocyto"), "run", "reads.bam", str(sample.gtf), "-vvv"]
    command += ["-b", str(sample.barcodes), "-o", "out", "-e", "sample", "--samtools-memory", "768"]
    wall, cpu, peak, log = measured(command, folder, {"PYTHONWARNINGS": "ignore"})
    (folder / "cellsorted_reads.bam").unlink()
    at = {}
    for line in log.splitlines():
        if found := re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - \w+ - (.*)", line):
            moment = datetime.fromisoformat(found[1]).timestamp() + int(found[2]) / 1000
            for words in ("Now just waiting", "Start molecule counting", "Generating output file"):
                if found[3].startswith(words):
                    at[words] = moment
    waited = at["Start molecule counting"] - at["Now just waiting"]
    counting = at["Generating output file"] - at["Start molecule counting"]
    notes = {"waited_for_sort_s": waited, "without_sort_s": wall - waited, "counting_s": counting}
    return Run(wall, cpu, peak, sample.n_records / wall, notes)


def star_index(sample: Sample, folder: Path, threads: int) -> Path:
    """STAR's index, kept with the samples, whose genome is one and the same; making it is not part of any time."""
    index = folder / "star"
    if not (index / "SA").exists():
        say(f"indexing {sample.genome} for STAR")
        bases = sample.genome.stat().st_size
        command = [
            "STAR", "--runMode", "genomeGenerate", "--genomeDir", str(index), "--genomeFastaFiles", str(sample.genome),
            "--sjdbGTFfile", str(sample.gtf), "--sjdbOverhang", "90", "--runThreadN", str(threads),
            "--genomeSAindexNbases", str(min(14, int(np.log2(bases) / 2 - 1))),
        ]  # fmt: skip
        with tempfile.TemporaryDirectory(dir=folder) as aside, replacing(index) as made:
            command[command.index(str(index))] = str(made)
            measured(command, Path(aside))
    return index


def run_starsolo(sample: Sample, folder: Path, index: Path, threads: int) -> Run:
    """STARsolo on the BAM's own reads: aligned, then counted as Velocyto; no BAM is written.

    `counting_s`: from "started Solo counting" to "finished Solo counting" of its log (whole seconds), all features.
    Its molecules in the listed cells stand beside.
    """
    reader = "samtools view -F 0x100"
    command = [
        "STAR", "--genomeDir", str(index), "--readFilesIn", str(sample.bam), "--readFilesType", "SAM", "SE",
        "--readFilesCommand", *reader.split(), "--soloInputSAMattrBarcodeSeq", "CR", "UR",
        "--soloInputSAMattrBarcodeQual", "CY", "UY", "--readFilesSAMattrKeep", "None", "--runThreadN", str(threads),
        "--soloType", "CB_UMI_Simple", "--soloFeatures", "GeneFull", "Gene", "Velocyto", "--soloStrand", "Forward",
        "--soloUMIdedup", "1MM_CR", "--soloUMIfiltering", "MultiGeneUMI_CR", "--soloCBlen", "16", "--soloUMIlen", "12",
        "--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts", "--soloCBwhitelist", str(sample.whitelist),
        "--outFilterScoreMin", "30", "--outSAMtype", "None",
    ]  # fmt: skip
    wall, cpu, peak, _ = measured(command, folder)
    at = {}
    for line in (folder / "Log.out").read_text().splitlines():
        if found := re.match(r"(\w{3} +\d+ \d\d:\d\d:\d\d) \.+ (started|finished) Solo counting", line):
            at[found[2]] = datetime.strptime(f"2000 {found[1]}", "%Y %b %d %H:%M:%S").timestamp()
    unique = re.search(r"Uniquely mapped reads % \|\s*([\d.]+)", (folder / "Log.final.out").read_text())
    notes = {"counting_s": at["finished"] - at["started"], "uniquely_mapped_percent": float(unique[1] if unique else 0)}
    found = read_any(folder / "Solo.out" / "Velocyto" / "raw")
    listed = np.isin(found.cells, [line.split("-")[0] for line in sample.barcodes.read_text().split()])
    notes |= {layer: float(matrix[listed].sum()) for layer, matrix in found.layers.items()}
    return Run(wall, cpu, peak, sample.n_records / wall, notes)


def against_velocyto(ours: Path, loom: Path) -> dict[str, int]:
    """Entries (cell, gene) in which our counts and velocyto's differ, by layer, and what was compared."""
    counts = read_counts(ours)
    theirs = read_loom(loom)
    cells, genes = list(counts.obs[names.BARCODE].astype(str)), list(counts.var_names)
    aligned = aligned_to(theirs.layers, bare_barcodes(theirs.cells), theirs.genes, cells, genes)
    return _compared(counts, aligned)


def same_counts(one: Path, other: Path) -> dict[str, int]:
    """The same between two of our own files."""
    return _compared(read_counts(one), read_counts(other).layers)


def _compared(counts: ad.AnnData, others: Mapping[str, sparse.csr_matrix]) -> dict[str, int]:
    found = {"cells": counts.n_obs, "genes": int((~counts.var_names.str.startswith(DUMMY)).sum())}
    for layer in names.LAYERS:
        matrix = sparse.csr_matrix(counts.layers[layer])
        found[f"{layer} molecules"] = int(matrix.sum())
        found[f"{layer} entries that differ"] = int((matrix != others[layer]).nnz)
    return found
