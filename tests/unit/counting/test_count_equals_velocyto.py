"""Equality with velocyto 0.17.17, cell by cell and gene by gene, run for real on the same files."""

import gzip
import os
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pysam
import pytest
from bam_makers import ReadSpec, barcodes_of, padding, transcript_lines, velocyto_counts, write_bam

from velocorpus.cells.calling import call_cells
from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.count import count_bam
from velocorpus.counting.importers import read_any
from velocorpus.counting.rules import LOGICS
from velocorpus.reference.gtf import read_gtf

pytest.importorskip("velocyto", reason="velocyto is not installed")

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent"))
needs_data = pytest.mark.skipif(not DATA.exists(), reason="VELOCORPUS_TEST_DATA is not set: no real data")


def assert_equal(tmp_path, bam, gtf, barcodes, logics=("permissive10x",), at_least=1):
    """Count by both; equal in every cell, gene and layer, and not of nothing."""
    models = read_gtf(gtf)
    theirs = velocyto_counts(tmp_path / "velocyto", bam, gtf, barcodes, models.gene_ids, logics)
    for logic in logics:
        ours = count_bam(bam, models, barcodes, logic=logic)
        for layer, matrix in ours.layers.items():
            assert np.array_equal(matrix.toarray(), theirs[logic][layer]), f"{logic}, {layer}: {ours.qc}"
        if logic == "permissive10x":
            assert sum(int(matrix.sum()) for matrix in ours.layers.values()) >= at_least


def random_annotation(rng: np.random.Generator) -> str:
    """Crowded genes on both strands: isoforms, single exons, touching exons, tiny exons, long introns."""
    text = ""
    for gene in range(24):
        strand, start = "+-"[gene % 2], int(rng.integers(1_000, 30_000))
        for isoform in range(int(rng.integers(1, 4))):
            exons, at = [], start + int(rng.integers(0, 200))
            for _ in range(int(rng.integers(1, 7))):
                length = int(rng.choice([4, 15, 60, 150, 400]))
                exons.append((at, at + length - 1))
                at += length + int(rng.choice([0, 3, 20, 100, 700, 2_500]))
            text += transcript_lines(f"G{gene}", f"T{gene}.{isoform}", exons, strand)
    # One transcript is cut at its intron of more than a megabase.
    text += transcript_lines("GLONG", "TLONG", [(500, 900), (1_200_000, 1_200_400), (1_201_000, 1_201_300)])
    return text + transcript_lines("GLONGM", "TLONGM", [(500, 900), (1_500, 1_800), (1_200_000, 1_200_400)], "-")


def random_reads(rng: np.random.Generator, models, barcodes) -> list[ReadSpec]:
    """Reads around exon ends with every kind of CIGAR, few UMIs, so that molecules have several reads."""
    edges = np.concatenate([models.exon_start, models.exon_end])
    ends, starts = np.sort(models.exon_end), models.exon_start
    reads = []
    for _ in range(6_000):
        at = max(1, int(rng.choice(edges)) - int(rng.integers(0, 100)))
        a, b = int(rng.integers(5, 60)), int(rng.integers(5, 60))
        kind = rng.integers(0, 10)
        if kind < 4:
            cigar = f"{a + b}M"
        elif kind < 7:
            end = int(rng.choice(ends))
            at = max(1, end - a + 1 + int(rng.integers(-8, 9)) * int(rng.integers(0, 2)))
            later = starts[starts > at + a]
            gap = int(rng.choice(later)) - at - a if later.size and rng.random() < 0.9 else int(rng.integers(20, 500))
            cigar = f"{a}M{max(gap, 1)}N{b}M"
        else:
            cigar = [f"{a}M2I{b}M", f"{a}M3D{b}M", f"{a}M5D{b}M", f"{a}M4I{b}M", f"{a}S{b}M7S", f"{a}M1I6M2D{b}M"][
                int(rng.integers(0, 6))
            ]
        umi = "".join(rng.choice(list("ACGT"), size=3)) if rng.random() < 0.97 else "ACN"
        # UMIs stay near a place, so that the reads of a molecule often share transcripts.
        umi = f"{umi}{'ACGT'[at // 700 % 4]}{'ACGT'[at // 2800 % 4]}"
        reads.append(
            ReadSpec(
                at, cigar, str(rng.choice(barcodes)) + "-1", umi, minus=bool(rng.random() < 0.5),
                nh=int(rng.choice([1, 1, 1, 1, 2])), flags=int(rng.choice([0, 0, 0, 256, 1024, 2048])),
            )
        )  # fmt: skip
    return reads


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_random_reads_count_as_velocyto_counts_them_by_every_logic(tmp_path, seed):
    rng = np.random.default_rng(seed)
    gtf = tmp_path / "genes.gtf"
    gtf.write_text(random_annotation(rng))
    barcodes = ["".join(rng.choice(list("ACGT"), size=8)) for _ in range(6)]
    bam = write_bam(tmp_path / "reads.bam", random_reads(rng, read_gtf(gtf), [*barcodes, "TTTTTTTT"]))
    assert_equal(tmp_path, bam, gtf, barcodes, tuple(LOGICS), at_least=300)


@pytest.mark.slow
def test_names_of_chromosomes_are_folded_as_velocyto_folds_them(tmp_path):
    gtf = tmp_path / "genes.gtf"
    places = {"G1": "chr1", "GMT": "MT", "GM": "chrM", "GALT": "KI270706.1", "GRANDOM": "chr1_KI270706v1_random"}
    gtf.write_text("".join(transcript_lines(g, f"T{g}", [(1001, 1400)], "+", c) for g, c in places.items()))
    chromosomes = ("chr1", "chr1_KI270706v1_random", "chrM", "2")
    reads = [ReadSpec(1050, "90M", umi="ACGT", chromosome=c) for c in chromosomes[:3]]
    bam = write_bam(tmp_path / "reads.bam", [*reads, *padding()], chromosomes)
    models = read_gtf(gtf)
    theirs = velocyto_counts(tmp_path / "v", bam, gtf, ["AAAACCCC"], models.gene_ids, ["permissive10x"])[
        "permissive10x"
    ]
    ours = count_bam(bam, models, ["AAAACCCC"])
    for layer in theirs:
        assert np.array_equal(ours.layers[layer].toarray(), theirs[layer])


@needs_data
@pytest.mark.slow
def test_real_cell_ranger_reads_count_as_velocyto_counts_them_by_every_logic(tmp_path):
    bam, gtf = (DATA / "cellranger_bam" / name for name in ("neurons_SRR5259354.bam", "neurons_genes_chr1.gtf.gz"))
    with pysam.AlignmentFile(str(bam), "rb") as reads:
        seen = Counter(r.get_tag("CB") for r in reads if r.has_tag("CB") and r.has_tag("UB"))
    barcodes = [barcode for barcode, _ in seen.most_common(1500)]
    bare = [barcode.split("-")[0] for barcode in barcodes]
    assert_equal(tmp_path, bam, gtf, bare, tuple(LOGICS), at_least=1000)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The simulator's tiny BAM with all its difficulties: BAM, GTF, the true cells."""
    from velocorpus.simulate import presets, products

    folder = tmp_path_factory.mktemp("simulated")
    preset = presets.preset("tiny")
    plan = next(plan for plan in preset.samples if plan.product == "bam")
    products.write_reference(preset, folder)
    products.write_sample(preset, plan, folder / "sample")
    bam, cells = (next((folder / "sample").rglob(name)) for name in ("*.bam", "barcodes.tsv"))
    return bam, next((folder / "reference").rglob("*.gtf*")), read_barcodes(cells)


@pytest.mark.slow
def test_simulated_reads_count_as_velocyto_counts_them(tmp_path, simulated):
    whole, gtf, cells = simulated
    some = tmp_path / "some.bam"
    with pysam.AlignmentFile(str(whole), "rb") as reads, pysam.AlignmentFile(str(some), "wb", template=reads) as out:
        for read in reads:
            if read.has_tag("CB") and read.get_tag("CB").split("-")[0] in cells[:3]:
                out.write(read)
    assert_equal(tmp_path, some, gtf, list(cells[:3]), at_least=1000)


@pytest.mark.slow
def test_simulated_cells_are_called_from_among_the_empty_droplets(simulated):
    bam, gtf, cells = simulated
    counts = count_bam(bam, read_gtf(gtf), barcodes_of(bam))
    totals = np.asarray(sum(matrix.sum(axis=1) for matrix in counts.layers.values())).ravel()
    called = {barcode for barcode, is_cell in zip(counts.barcodes, call_cells(totals).is_cell, strict=True) if is_cell}
    assert len(counts.barcodes) > len(cells)
    assert called == set(cells)


@needs_data
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("STAR") is None, reason="STAR is not installed")
def test_starsolo_reads_of_real_mouse_bladder_count_as_velocyto_counts_them(tmp_path):
    data = DATA / "bladder_10x_v2_chr19"
    plain = {}
    for name in ("genome_mm10_chr19_7Mb_MT.fa.gz", "genes_mm10_chr19_7Mb_MT.gtf.gz"):
        plain[name] = tmp_path / name.removesuffix(".gz")
        plain[name].write_bytes(gzip.decompress((data / name).read_bytes()))
    genome, gtf = plain.values()
    (tmp_path / "index").mkdir()
    r1, r2 = (str(data / f"BLADDER58_S1_L001_R{i}_001.fastq.gz") for i in (1, 2))
    index = ["--runMode", "genomeGenerate", "--genomeFastaFiles", str(genome), "--sjdbGTFfile", str(gtf)]
    align = ["--readFilesIn", r2, r1, "--readFilesCommand", "zcat", "--outSAMtype", "BAM", "SortedByCoordinate"]
    align += [
        "--soloType",
        "CB_UMI_Simple",
        "--soloFeatures",
        "GeneFull",
        "Gene",
        "Velocyto",
        "--soloStrand",
        "Forward",
    ]
    align += ["--soloCBlen", "16", "--soloUMIlen", "10", "--soloCBwhitelist", str(data / "barcodes.txt")]
    align += ["--soloUMIdedup", "1MM_CR", "--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts"]
    align += ["--outSAMattributes", "NH", "HI", "CR", "CB", "UR", "UB", "GX", "GN", "--limitBAMsortRAM", "2000000000"]
    align += ["--soloUMIfiltering", "MultiGeneUMI_CR", "--outFilterScoreMin", "30", "--outSAMunmapped", "Within"]
    for arguments in ([*index, "--genomeSAindexNbases", "10", "--sjdbOverhang", "89"], align):
        subprocess.run(
            ["STAR", "--runThreadN", "2", "--genomeDir", str(tmp_path / "index"), *arguments],
            cwd=tmp_path, check=True, capture_output=True,
        )  # fmt: skip
    barcodes = list(read_barcodes(data / "barcodes.txt"))
    assert_equal(tmp_path, tmp_path / "Aligned.sortedByCoord.out.bam", gtf, barcodes, at_least=1000)
    imported = read_any(tmp_path / "Solo.out")
    assert set(imported.layers) == {"spliced", "unspliced", "ambiguous"}
    assert imported.layers["spliced"].shape == (len(imported.cells), len(imported.genes))
