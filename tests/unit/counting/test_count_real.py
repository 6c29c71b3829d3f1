"""Real BAMs in their dialects: counts, or a stated refusal."""

import os
from pathlib import Path

import pytest
from bam_makers import barcodes_of

from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.count import count_bam
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "absent"))
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="VELOCORPUS_TEST_DATA is not set: no real data")


def test_bam_of_nothing_but_cb_and_ub_is_counted():
    folder = DATA / "cellranger_bam"
    barcodes = read_barcodes(folder / "heart_sham_barcodes.tsv")
    counts = count_bam(folder / "heart_sham_v2.bam", read_gtf(folder / "heart_genes.gtf.gz"), barcodes)
    assert counts.qc["n_reads"] == sum(counts.qc["reads"].values()) == 133_646
    assert counts.qc["molecules"]["spliced"] > counts.qc["molecules"]["unspliced"] > 5_000
    assert "133646 reads have no NH tag: MAPQ 255 was taken for uniquely mapped" in counts.notes


def test_another_genomes_annotation_is_refused():
    folder = DATA / "cellranger_bam"
    with pytest.raises(UserMistake, match="none of its 1 chromosomes"):
        count_bam(folder / "v3_alltags_chr17.bam", read_gtf(folder / "neurons_genes_chr1.gtf.gz"), ["A"])


@pytest.mark.parametrize(
    "name",
    [
        "cellranger_bam/v1_chemistry_chr21_hg19.bam",
        "cellranger_bam/v3_alltags_chr17.bam",
        "cellranger_bam/xf_re_hla.bam",
        "optimus_bam/test_optimus.bam",
    ],
)
def test_reads_of_every_dialect_are_accounted_for(tmp_path, name):
    import pysam

    with pysam.AlignmentFile(str(DATA / name), "rb") as bam:
        chromosome = next(read.reference_name for read in bam if not read.is_unmapped)
    gtf = tmp_path / "genes.gtf"
    ids = 'gene_id "G"; transcript_id "T"; exon_number "1";'
    gtf.write_text(f"{chromosome}\tx\texon\t1\t200000000\t.\t+\t.\t{ids}\n")
    counts = count_bam(DATA / name, read_gtf(gtf), barcodes_of(DATA / name))
    assert counts.qc["n_reads"] == sum(counts.qc["reads"].values())
    assert counts.qc["molecules"]["spliced"] > 0
