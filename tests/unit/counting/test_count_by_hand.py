"""Counts worked out by hand, read by read, on one small gene (and its neighbours)."""

import numpy as np
import pysam
import pytest
from bam_makers import ReadSpec, transcript_lines, write_bam

from velocorpus.counting.count import count_bam
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf

# G1 on plus: exons 1001-1200, 2001-2200, 3001-3200. G2 on minus, inside G1's second intron. G3: one exon, alone.
EXONS = [(1001, 1200), (2001, 2200), (3001, 3200)]
CELL = "AAAACCCC"


@pytest.fixture
def gtf(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(
        transcript_lines("G1", "T1", EXONS)
        + transcript_lines("G2", "T2", [(2401, 2600)], "-")
        + transcript_lines("G3", "T3", [(9001, 9400)])
    )
    return read_gtf(path)


@pytest.fixture
def count(tmp_path, gtf):
    def run(*reads, barcodes=(CELL,), models=gtf, **options):
        return count_bam(write_bam(tmp_path / "reads.bam", reads), models, barcodes, **options)

    return run


def found(counts, gene="G1"):
    """Spliced, unspliced, ambiguous molecules of one gene, over all cells."""
    column = list(counts.genes.index).index(gene)
    return tuple(int(counts.layers[layer][:, column].sum()) for layer in ("spliced", "unspliced", "ambiguous"))


def test_exonic_read_is_spliced(count):
    assert found(count(ReadSpec(1050, "90M"))) == (1, 0, 0)


def test_junction_read_is_spliced(count):
    assert found(count(ReadSpec(1151, "50M800N40M"))) == (1, 0, 0)


def test_intronic_read_is_unspliced(count):
    assert found(count(ReadSpec(1500, "90M"))) == (0, 1, 0)


def test_spanning_read_is_unspliced_and_validates_the_intron(count):
    counts = count(ReadSpec(1150, "90M"))
    assert found(counts) == (0, 1, 0)
    assert counts.qc["n_introns_validated"] == 1


@pytest.mark.parametrize(("position", "cigar"), [(1196, "90M"), (1151, "50M5I"), (1116, "90M")])
def test_five_bases_over_a_boundary_are_not_enough(count, position, cigar):
    assert count(ReadSpec(position, cigar)).qc["n_introns_validated"] == 0


def test_read_on_the_other_strand_belongs_to_no_gene(count):
    counts = count(ReadSpec(1050, "90M", minus=True))
    assert counts.qc["reads"]["outside_features"] == 1
    assert found(counts) == (0, 0, 0)


def test_gene_inside_an_intron_is_told_by_strand(count):
    counts = count(ReadSpec(2450, "90M", minus=True), ReadSpec(2450, "90M", umi="CCCC"))
    assert found(counts, "G2") == (1, 0, 0)
    assert found(counts, "G1") == (0, 1, 0)


def test_last_gene_of_a_strand_is_counted(count):
    assert found(count(ReadSpec(9101, "90M")), "G3") == (1, 0, 0)


def test_reads_of_one_umi_are_one_molecule(count):
    counts = count(ReadSpec(1050, "90M"), ReadSpec(1052, "90M"), ReadSpec(1151, "50M800N40M"))
    assert found(counts) == (1, 0, 0)
    assert counts.qc["reads"]["in_molecules_spliced"] == 3


def test_exonic_and_intronic_read_of_one_molecule_are_unspliced(count):
    assert found(count(ReadSpec(1050, "90M"), ReadSpec(1500, "90M"))) == (0, 1, 0)


def test_molecule_with_reads_in_two_genes_is_discarded(count):
    counts = count(ReadSpec(1050, "90M"), ReadSpec(9101, "90M"))
    assert counts.qc["molecules"]["no_common_transcript"] == 1
    assert sum(found(counts) + found(counts, "G3")) == 0


def test_same_umi_in_two_cells_is_two_molecules(count):
    other = "CCCCAAAA"
    counts = count(ReadSpec(1050, "90M"), ReadSpec(1050, "90M", other), barcodes=(CELL, other))
    assert counts.layers["spliced"].toarray()[:, 0].tolist() == [1, 1]


def test_splice_that_fits_no_exon_end_is_not_counted(count):
    counts = count(ReadSpec(1050, "40M100N40M"))
    assert counts.qc["reads"]["splicing_fits_no_transcript"] == 1
    assert found(counts) == (0, 0, 0)


@pytest.mark.parametrize(("off", "spliced"), [(0, 1), (6, 1), (7, 0)])
def test_splice_may_miss_the_exons_by_six_bases(count, off, spliced):
    counts = count(ReadSpec(1151 - off, f"50M{800 + 2 * off}N40M"))
    assert found(counts)[0] == spliced


def test_isoforms_that_disagree_make_a_molecule_ambiguous(tmp_path, count):
    path = tmp_path / "two.gtf"
    path.write_text(transcript_lines("G1", "T1", EXONS) + transcript_lines("G1", "T1b", [(1001, 1700), (3001, 3200)]))
    assert found(count(ReadSpec(1500, "90M"), models=read_gtf(path))) == (0, 0, 1)


def test_transcripts_of_two_genes_discard_a_molecule(tmp_path, count):
    path = tmp_path / "two.gtf"
    path.write_text(transcript_lines("G1", "T1", EXONS) + transcript_lines("G9", "T9", [(1001, 1400)]))
    counts = count(ReadSpec(1050, "90M"), models=read_gtf(path))
    assert counts.qc["molecules"]["several_genes"] == 1


def test_leading_soft_clip_moves_the_read(count):
    # 1150 + 60 clipped = 1210: ten bases into the intron, as velocyto has it, though the alignment starts in the exon.
    assert found(count(ReadSpec(1150, "60S40M"))) == (0, 1, 0)
    assert found(count(ReadSpec(1150, "40M60S"))) == (1, 0, 0)


def test_short_deletion_does_not_break_a_spanning_segment(count):
    assert count(ReadSpec(1188, "10M3D30M")).qc["n_introns_validated"] == 1
    assert count(ReadSpec(1190, "8M4D30M")).qc["n_introns_validated"] == 0


@pytest.mark.parametrize("cigar", ["90=", "40=1X49=", "40M1X49M"])
def test_extended_matches_are_matches(count, cigar):
    assert found(count(ReadSpec(1050, cigar))) == (1, 0, 0)


def test_every_read_has_one_reason(count):
    counts = count(
        ReadSpec(1050, "90M"),
        ReadSpec(1050, "90M", umi="CCCC", nh=2),
        ReadSpec(1, "90M", unmapped=True),
        ReadSpec(1050, "90M", barcode=None),
        ReadSpec(1050, "90M", umi=None),
        ReadSpec(1050, "90M", barcode="GGGGGGGG"),
        ReadSpec(1050, "50M3000000N40M", umi="GGGG"),
        ReadSpec(1050, "90M", chromosome="2", umi="TTTT"),
        ReadSpec(5000, "90M", umi="ACGT"),
    )
    reads = {reason: n for reason, n in counts.qc["reads"].items() if n}
    assert reads == {
        "unmapped": 1, "multimapped": 1, "without_cell_or_umi": 2, "barcode_not_listed": 1, "span_over_3mb": 1,
        "chromosome_not_in_gtf": 1, "outside_features": 1, "in_molecules_spliced": 1,
    }  # fmt: skip
    assert sum(reads.values()) == counts.qc["n_reads"] == 9


def test_without_nh_unique_is_mapq_255(count):
    counts = count(ReadSpec(1050, "90M", nh=None), ReadSpec(1050, "90M", nh=None, mapq=3, umi="CCCC"))
    assert found(counts) == (1, 0, 0)
    assert any("no NH tag" in note for note in counts.notes)


def test_suffix_of_barcodes_does_not_matter(count):
    assert found(count(ReadSpec(1050, "90M", barcode=f"{CELL}-1"))) == (1, 0, 0)


def test_umi_with_n_is_its_own_molecule(count):
    assert found(count(ReadSpec(1050, "90M", umi="AANA"), ReadSpec(1050, "90M", umi="AAAA"))) == (2, 0, 0)


def test_chr_in_names_does_not_matter(tmp_path, gtf):
    bam = write_bam(tmp_path / "chr.bam", [ReadSpec(1050, "90M", chromosome="chr1")], ("chr1", "chr2"))
    assert found(count_bam(bam, gtf, (CELL,))) == (1, 0, 0)


def test_intron_over_a_megabase_cuts_the_transcript(tmp_path, count):
    path = tmp_path / "long.gtf"
    path.write_text(transcript_lines("G1", "T1", [(1001, 1200), (1_101_202, 1_101_400), (1_101_601, 1_101_800)]))
    models = read_gtf(path)
    assert found(count(ReadSpec(1050, "90M"), models=models)) == (0, 0, 0)
    assert found(count(ReadSpec(1_101_250, "90M"), models=models)) == (1, 0, 0)


def test_rows_are_the_listed_barcodes_in_their_order(count):
    counts = count(ReadSpec(1050, "90M"), barcodes=("TTTTTTTT", CELL))
    assert counts.barcodes == ("TTTTTTTT", CELL)
    assert counts.layers["spliced"].toarray()[:, 0].tolist() == [0, 1]


def test_threads_do_not_change_counts(count):
    reads = [ReadSpec(1001 + 7 * i, "90M", umi=f"{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}AC") for i in range(300)]
    one, three = count(*reads, threads=1), count(*reads, threads=3)
    assert one.qc == three.qc
    for layer in one.layers:
        assert np.array_equal(one.layers[layer].toarray(), three.layers[layer].toarray())


def test_bam_without_tags_is_refused_with_those_it_has(count):
    with pytest.raises(UserMistake, match=r"both tags CB and UB \(tags found: CR, NH\)"):
        count(ReadSpec(1050, "90M", barcode=None, umi=None, more={"CR": "AAAACCCC"}))


def test_other_samples_barcodes_are_refused(count):
    with pytest.raises(UserMistake, match="has one of the 1 listed barcodes"):
        count(ReadSpec(1050, "90M"), barcodes=("GGGGGGGG",))


def test_few_listed_barcodes_are_told(count):
    reads = [ReadSpec(1050, "90M", barcode="GGGGGGGG", umi=f"AAC{b}") for b in "ACGT" for _ in range(9)]
    assert any("only 2.7%" in note for note in count(ReadSpec(1050, "90M"), *reads).notes)


def test_foreign_gtf_is_refused(tmp_path, gtf):
    bam = write_bam(tmp_path / "foreign.bam", [ReadSpec(1050, "90M", chromosome="III")], ("III",))
    with pytest.raises(UserMistake, match="none of its 1 chromosomes"):
        count_bam(bam, gtf, (CELL,))


def test_truncated_bam_is_refused(tmp_path, gtf):
    bam = write_bam(tmp_path / "whole.bam", [ReadSpec(1050, "90M")])
    bam.write_bytes(bam.read_bytes()[:-28])
    with pytest.raises(UserMistake, match="truncated"):
        count_bam(bam, gtf, (CELL,))


@pytest.mark.parametrize("suffix", ["sam", "cram"])
def test_sam_and_cram_count_as_the_bam_does(tmp_path, gtf, suffix):
    bam = write_bam(tmp_path / "reads.bam", [ReadSpec(1050, "90M"), ReadSpec(1151, "50M800N40M", umi="CCCC")])
    other = tmp_path / f"reads.{suffix}"
    with pysam.AlignmentFile(str(bam)) as reads:
        mode = {"sam": "w", "cram": "wc"}[suffix]
        with pysam.AlignmentFile(str(other), mode, template=reads, format_options=[b"no_ref=1"]) as out:
            for read in reads:
                out.write(read)
    counted = count_bam(other, gtf, (CELL,))
    assert counted.qc == count_bam(bam, gtf, (CELL,)).qc
    assert found(counted) == (2, 0, 0)


def test_text_that_is_no_sam_is_refused(tmp_path, gtf):
    (tmp_path / "reads.bam").write_text("not a BAM at all\n")
    with pytest.raises(UserMistake, match="cannot be read as BAM, SAM or CRAM"):
        count_bam(tmp_path / "reads.bam", gtf, (CELL,))


@pytest.mark.parametrize("tag", ["C", "CBX", ""])
def test_tags_have_two_characters(count, tag):
    with pytest.raises(UserMistake, match="two characters"):
        count(ReadSpec(1050, "90M"), cell_tag=tag)


def test_unknown_logic_is_refused(count):
    with pytest.raises(UserMistake, match="permissive10x"):
        count(ReadSpec(1050, "90M"), logic="strict")
