"""STARsolo's BAMs of real 10x reads: our counts are velocyto's, for each logic."""

import gzip
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from bam_makers import assert_equals_velocyto, barcodes_of

from velocorpus.counting.importing.importers import read_any
from velocorpus.counting.rules import LOGICS
from velocorpus.reads.chemistries import write_whitelist

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("velocyto") is None, reason="velocyto is not installed"),
    pytest.mark.skipif(not DATA.exists(), reason="VELOCORPUS_TEST_DATA is not set: no real data"),
    pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed"),
]


def unpacked(source: Path, folder: Path) -> Path:
    target = folder / source.name.removesuffix(".gz")
    target.write_bytes(gzip.decompress(source.read_bytes()))
    return target


def align(folder: Path, genome: Path, gtf: Path, reads: tuple[list[Path], list[Path]], *solo: str) -> Path:
    """Align barcode reads and cDNA reads as the workflow does; return the BAM."""
    (folder / "index").mkdir()
    star = ["STAR", "--runThreadN", "2", "--genomeDir", str(folder / "index")]
    index = ["--runMode", "genomeGenerate", "--genomeFastaFiles", str(genome), "--sjdbGTFfile", str(gtf)]
    index += ["--genomeSAindexNbases", "10", "--sjdbOverhang", "89"]
    barcode_reads, cdna_reads = (",".join(map(str, lane)) for lane in reads)
    run = ["--readFilesIn", cdna_reads, barcode_reads, "--readFilesCommand", "zcat"]
    run += ["--outSAMtype", "BAM", "SortedByCoordinate", "--limitBAMsortRAM", "2000000000"]
    run += ["--soloType", "CB_UMI_Simple", "--soloFeatures", "GeneFull", "Gene", "Velocyto", "--soloStrand", "Forward"]
    run += ["--soloCBlen", "16", "--soloUMIdedup", "1MM_CR", "--soloUMIfiltering", "MultiGeneUMI_CR", *solo]
    run += ["--outSAMattributes", "NH", "HI", "CR", "CB", "UR", "UB", "GX", "GN"]
    # Introns bounded as the workflow bounds them on small genomes: five times as fast.
    run += ["--outFilterScoreMin", "30", "--outSAMunmapped", "Within", "--alignIntronMax", "100000"]
    for arguments in (index, run):
        subprocess.run([*star, *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "Aligned.sortedByCoord.out.bam"


def test_reads_of_mouse_bladder(tmp_path):
    data = DATA / "bladder_10x_v2_chr19"
    genome = unpacked(data / "genome_mm10_chr19_7Mb_MT.fa.gz", tmp_path)
    gtf = unpacked(data / "genes_mm10_chr19_7Mb_MT.gtf.gz", tmp_path)
    reads = tuple([data / f"BLADDER58_S1_L001_R{i}_001.fastq.gz"] for i in (1, 2))
    whitelist = ["--soloCBwhitelist", str(data / "barcodes.txt"), "--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts"]
    bam = align(tmp_path, genome, gtf, reads, "--soloUMIlen", "10", *whitelist)
    barcodes = (data / "barcodes.txt").read_text().split()
    assert_equals_velocyto(tmp_path, bam, gtf, barcodes, tuple(LOGICS), at_least=1000)
    imported = read_any(tmp_path / "Solo.out")
    assert set(imported.layers) == {"spliced", "unspliced", "ambiguous"}
    assert imported.layers["spliced"].shape == (len(imported.cells), len(imported.genes))


def test_reads_of_human_blood(tmp_path):
    data = DATA / "pbmc_10x_v3_chr21"
    genome = unpacked(data / "genome_chr21_0.7Mb.fa.gz", tmp_path)
    # The piece of the genome begins 881 bases after what the GTF says (docs/real-data.md).
    text = unpacked(data / "genes_chr21_0.7Mb.gtf.gz", tmp_path).read_text()
    lines = [line.split("\t") for line in text.splitlines(keepends=True) if line[0] != "#"]
    moved = [[*f[:3], str(int(f[3]) - 881), str(int(f[4]) - 881), *f[5:]] for f in lines]
    gtf = tmp_path / "moved.gtf"
    gtf.write_text("".join("\t".join(fields) for fields in moved if int(fields[3]) > 0))
    name = "Chromium_3p_GEX_Human_PBMC_chr21_100000_S1_L00{}_R{}_001.fastq.gz"
    reads = tuple([data / name.format(lane, i) for lane in (1, 2)] for i in (1, 2))
    write_whitelist("10xv3", tmp_path / "all.txt")
    sequenced = {
        line[:16] for path in reads[0] for line in gzip.decompress(path.read_bytes()).decode().split("\n")[1::4]
    }
    listed = [barcode for barcode in (tmp_path / "all.txt").read_text().split() if barcode in sequenced]
    (tmp_path / "whitelist.txt").write_text("\n".join(listed))  # with all 6.8 million STAR takes minutes
    whitelist = ["--soloCBwhitelist", "whitelist.txt", "--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts"]
    bam = align(tmp_path, genome, gtf, reads, "--soloUMIlen", "12", *whitelist)
    # Of 46,014 barcodes those with the first reads: velocyto takes ten minutes for all (equal too, docs/counting.md).
    barcodes = barcodes_of(bam)[:500]
    assert_equals_velocyto(tmp_path, bam, gtf, barcodes, tuple(LOGICS), at_least=30)
