"""The chemistry of real reads is told right, or said to be unclear."""

import os
from pathlib import Path

import pytest
from libraries import verdict_on

from velocorpus.reads.chemistry.barcode_lists import known_lists, read_list
from velocorpus.reference.kmers import build_index

DATA = Path(os.environ.get("VELOCORPUS_TEST_DATA", "nowhere"))
pytestmark = [
    pytest.mark.skipif(not DATA.is_dir(), reason="VELOCORPUS_TEST_DATA is not set"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def lists():
    """10x's own lists by name."""
    pytest.importorskip("ngs_tools")
    return {one.name: one for one in known_lists({})}


BLOOD = DATA / "pbmc_10x_v3_chr21"
BLADDER = DATA / "bladder_10x_v2_chr19"


@pytest.fixture(scope="module")
def indices():
    """The pieces of both species' genomes."""
    pieces = {"human": (BLOOD, "chr21_0.7Mb"), "mouse": (BLADDER, "mm10_chr19_7Mb_MT")}
    return [
        build_index(
            folder / f"genome_{piece}.fa.gz", folder / f"genes_{piece}.gtf.gz", name=organism, organism=organism
        )
        for organism, (folder, piece) in pieces.items()
    ]


def test_every_real_fastq_is_of_a_sample_that_is_tested():
    assert {path.parent for path in DATA.rglob("*.fastq*")} == {BLOOD, BLADDER}


@pytest.mark.parametrize("lanes", [("L001",), ("L002",), ("L001", "L002")])
def test_blood_is_v3_of_human_whatever_the_order_of_its_files(lists, indices, lanes):
    paths = [path for lane in lanes for path in BLOOD.glob(f"*_{lane}_*.fastq.gz")]
    # Few lie in the genome's piece: all that are looked at by default are needed to tell the species.
    found = verdict_on(sorted(paths, reverse=True), indices, lists, n_reads=20_000, window=200_000)
    assert (found.state, found.chemistry, found.organism) == ("confident", "10xv3", "human")
    assert sorted(lane.barcode.name[-20:-9] for lane in found.lanes) == [f"{lane}_R1_001" for lane in lanes]


@pytest.mark.parametrize(("read", "said"), [(1, "only barcode reads are here"), (2, "--include-technical")])
def test_half_of_the_blood_is_refused_with_what_to_fetch(lists, read, said):
    found = verdict_on(sorted(BLOOD.glob(f"*_R{read}_*.fastq.gz")), [], lists)
    assert (found.state, said in found.reasons[0]) == ("unclear", True)


def test_bladder_is_v2_of_mouse_by_its_own_list(lists, indices):
    """Its barcodes are not 10x's: they stand in a list of its own, without which all stays unclear."""
    reads = sorted(BLADDER.glob("*.fastq.gz"))
    assert verdict_on(reads, indices, lists).state == "unclear"
    found = verdict_on(reads, indices, lists | {"10xv2": read_list("10xv2", BLADDER / "barcodes.txt")})
    assert (found.state, found.chemistry, found.organism, found.strand) == ("confident", "10xv2", "mouse", "forward")


# Reads of BAMs come without a reference, and some without all bases: nothing may be confident, the list must be right.
@pytest.mark.parametrize(
    ("bam", "candidates", "said"),
    [
        ("cellranger_bam/neurons_SRR5259354", {"10xv2", "10xv2_5p"}, "--reference"),
        ("cellranger_bam/v3_alltags_chr17", {"10xv3"}, "were cut"),
        ("cellranger_bam/v1_chemistry_chr21_hg19", {"10xv1"}, "UMIs"),
        ("cellranger_bam/xf_re_hla", set(), "too few different"),
        ("optimus_bam/test_optimus", set(), "--whitelist"),
    ],
)
def test_reads_taken_from_a_bam_are_told_as_far_as_they_go(lists, tmp_path, bam, candidates, said):
    pysam = pytest.importorskip("pysam")
    with (
        pysam.AlignmentFile(str(DATA / f"{bam}.bam"), check_sq=False) as records,
        (tmp_path / "b.fastq").open("w") as b,
        (tmp_path / "a.fastq").open("w") as a,
    ):
        for record in records:
            if record.has_tag("CR") and record.has_tag("UR") and not record.flag & 0x900:
                for out, read in (
                    (a, record.get_forward_sequence()),
                    (b, record.get_tag("CR") + record.get_tag("UR")),
                ):
                    out.write(f"@{record.query_name}\n{read}\n+\n{'F' * len(read)}\n")
    found = verdict_on([tmp_path / "a.fastq", tmp_path / "b.fastq"], [], lists)
    assert (found.state, set(found.candidates)) == ("unclear", candidates)
    assert said in found.reasons[0]
