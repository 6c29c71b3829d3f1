"""Which chromosome of the GTF a reference of the BAM is, as velocyto folds names and by exact names."""

import pytest
from bam_makers import transcript_lines

from velocorpus.counting.chromosomes import fold_bam_name, fold_gtf_name, number_chromosomes, place_references
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import read_gtf


@pytest.fixture
def place(tmp_path):
    def run(references, gtf_names, exact_names=False):
        path = tmp_path / "genes.gtf"
        lines = (transcript_lines(f"G{i}", f"T{i}", [(1, 9)], "+", name) for i, name in enumerate(gtf_names))
        path.write_text("".join(lines))
        models = read_gtf(path)
        numbers = number_chromosomes(models.chromosomes, exact_names=exact_names)
        placed = place_references("sample.bam", references, numbers, models, exact_names=exact_names)
        return placed.chromosome.tolist(), placed.notes

    return run


@pytest.mark.parametrize(
    ("name", "in_bam", "in_gtf"),
    [
        ("1", "1", "1"),
        ("chr1", "1", "1"),
        ("chrM", "MT", "M"),
        ("chr1_KI270706v1_random", "KI270706v1", "1_KI270706v1_random"),
        ("Chr4", "Chr4", "Chr4"),
        ("GRCh38_chr1", "GRCh38_chr1", "GRCh38_chr1"),
        ("mm10___chr1", "mm10___chr1", "mm10___chr1"),
        ("xchr5", "xchr5", "r5"),
    ],
)
def test_names_are_folded_as_velocyto_folds_them(name, in_bam, in_gtf):
    assert (fold_bam_name(name), fold_gtf_name(name)) == (in_bam, in_gtf)


def test_chr_does_not_matter(place):
    assert place(["chr2", "chr1"], ["1", "2"]) == ([1, 0], ())
    assert place(["2", "1"], ["chr1", "chr2"]) == ([1, 0], ())


def test_mitochondrion_meets_itself_only_by_exact_names(place):
    names = ["chr1", "chrM", "chr1_KI270706v1_random"]
    assert place(names, names)[0] == [0, -1, -1]
    assert place(names, names, exact_names=True) == ([0, 1, 2], ())


def test_exact_names_are_folded_where_nothing_is_equal(place):
    assert place(["chr1", "chrM"], ["1", "MT"], exact_names=True) == ([0, 1], ())


def test_exact_names_are_not_folded_where_two_could_be_meant(place):
    # With chr1 gone to its equal nothing is left for 1; and M may be either of two.
    assert place(["chr1", "1"], ["chr1"], exact_names=True)[0] == [0, -1]
    assert place(["chr1", "MT", "chrM"], ["1", "M"], exact_names=True)[0] == [0, -1, -1]


def test_chromosomes_that_fold_to_one_are_counted_together_and_told(place):
    chromosomes, notes = place(["chr1", "1", "2"], ["1", "2"])
    assert chromosomes == [0, 0, 1]
    assert len(notes) == 1
    assert "1 chromosomes of the GTF are several in the BAM (chr1 and 1)" in notes[0]


def test_genes_on_chromosomes_that_the_bam_lacks_are_told(place):
    _, notes = place(["chr1"], ["chr1", "chr2", "chr3"])
    assert notes == ("2 genes are on 2 chromosomes that the BAM does not have (2, 3): no counts",)


def test_gene_that_is_elsewhere_too_has_counts(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(transcript_lines("G1", "T1", [(1, 9)]) + transcript_lines("G1", "T2", [(1, 9)], "+", "2"))
    models = read_gtf(path)
    placed = place_references("sample.bam", ["1"], number_chromosomes(models.chromosomes), models)
    assert placed.notes[0].startswith("0 genes are on 1 chromosomes")


def test_two_genomes_in_one_header_meet_their_genes(place):
    names = ["GRCh38_chr1", "GRCh38_chr2", "mm10___chr1", "mm10___chr2"]
    assert place(names, names) == ([0, 1, 2, 3], ())


def test_genome_that_the_gtf_lacks_is_told(place):
    _, notes = place(["GRCh38_chr1", "GRCh38_chr2", "mm10___chr1"], ["GRCh38_chr1", "GRCh38_chr2"])
    assert notes == ("the BAM's header holds 2 genomes, and the GTF no chromosome of mm10",)


@pytest.mark.parametrize("exact_names", [False, True])
def test_foreign_gtf_is_refused(place, exact_names):
    with pytest.raises(UserMistake, match=r"none of its 2 chromosomes \(I, II\) is in the GTF \(1, 2\)"):
        place(["I", "II"], ["1", "2"], exact_names)


def test_gtf_of_one_genome_is_refused_where_names_tell_two(place):
    with pytest.raises(UserMistake, match="of all genomes where the names tell them apart"):
        place(["GRCh38_chr1", "mm10___chr1"], ["chr1"])
