"""Equality with velocyto 0.17.17, cell by cell and gene by gene, run for real on the same files."""

import os
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pysam
import pytest
from bam_makers import (
    ReadSpec,
    assert_equals_velocyto,
    barcodes_of,
    padding,
    transcript_lines,
    velocyto_counts,
    write_bam,
)

from velocorpus.cells.calling import call_cells
from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.count import count_bam
from velocorpus.counting.rules import LOGICS
from velocorpus.reference.gtf import read_gtf

pytestmark = pytest.mark.skipif(find_spec("velocyto") is None, reason="velocyto is not installed")

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent"))
needs_data = pytest.mark.skipif(not DATA.exists(), reason="VELOCORPUS_TEST_DATA is not set: no real data")


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
    assert_equals_velocyto(tmp_path, bam, gtf, barcodes, tuple(LOGICS), at_least=300)


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
    assert_equals_velocyto(tmp_path, bam, gtf, bare, tuple(LOGICS), at_least=1000)


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
    assert_equals_velocyto(tmp_path, some, gtf, list(cells[:3]), tuple(LOGICS), at_least=1000)


@pytest.mark.slow
def test_simulated_cells_are_called_from_among_the_empty_droplets(simulated):
    bam, gtf, cells = simulated
    counts = count_bam(bam, read_gtf(gtf), barcodes_of(bam))
    totals = np.asarray(sum(matrix.sum(axis=1) for matrix in counts.layers.values())).ravel()
    called = {barcode for barcode, is_cell in zip(counts.barcodes, call_cells(totals).is_cell, strict=True) if is_cell}
    assert len(counts.barcodes) > len(cells)
    assert called == set(cells)
