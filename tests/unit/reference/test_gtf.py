import gzip

import pytest

from velocorpus.errors import UserMistake
from velocorpus.reference import gtf
from velocorpus.reference.gtf import read_gtf, split_version


def line(gene="G1", transcript="T1", start=101, end=200, strand="+", chromosome="1", kind="exon", more=""):
    ids = "".join(f'{key} "{value}"; ' for key, value in (("gene_id", gene), ("transcript_id", transcript)) if value)
    return f"{chromosome}\tx\t{kind}\t{start}\t{end}\t.\t{strand}\t.\t{ids}{more}\n"


@pytest.fixture
def read(tmp_path):
    def run(*lines):
        path = tmp_path / "genes.gtf"
        path.write_text("".join(lines))
        return read_gtf(path)

    return run


def test_genes_stand_in_the_order_of_the_file(read):
    assert read(line("GB"), line("GA", "T2"), line("GB", "T3")).gene_ids == ("GB", "GA")


def test_exons_ascend_whatever_their_order(read):
    models = read(line(start=501, end=600), line(start=101, end=200))
    assert models.exon_start.tolist() == [101, 501]


def test_exon_numbers_are_counted_along_the_transcript_when_absent(read):
    models = read(line(start=501, end=600, strand="-"), line(start=101, end=200, strand="-"))
    assert models.exon_number.tolist() == [2, 1]


def test_versions_leave_the_id(read):
    models = read(line("ENSG00000141510.18"), line("ENSMUSG00000026179", "T2", more='gene_version "7";'))
    assert models.gene_ids == ("ENSG00000141510", "ENSMUSG00000026179")
    assert models.versions == ("18", "7")


@pytest.mark.parametrize("gene", ["ENSG00000182378.15_PAR_Y", "LOC1.2", "hg38_ENSG00000141510.1"])
def test_ids_that_are_not_ensembls_stay_whole(gene):
    assert split_version(gene) == (gene, "")


def test_gzip_is_read_by_content(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_bytes(gzip.compress(line().encode()))
    assert read_gtf(path).gene_ids == ("G1",)


def test_gene_on_two_strands_is_one_gene_and_a_warning(read):
    models = read(line(), line(transcript="T2", strand="-"))
    assert models.gene_ids == ("G1",)
    assert "1 genes are on several chromosomes or strands" in models.warnings[0]


def test_digest_does_not_depend_on_the_order_of_lines(read):
    lines = [line(), line(start=501, end=600), line("G2", "T2")]
    assert read(*lines).digest() == read(*lines[::-1]).digest()


def test_digest_depends_on_every_coordinate(read):
    assert read(line()).digest() != read(line(end=201)).digest()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((line(kind="gene"),), "has no exon lines"),
        ((line(gene=""),), "line 1: an exon without gene_id"),
        ((line(), line(transcript="")), "line 2: an exon without transcript_id"),
        ((line(start=300, end=200),), "an exon from 300 to 200"),
        ((line(start="²"),), "an exon from ²"),
        ((line(end="9" * 5000),), "an exon from"),
        ((">chr1\n", "ACGT\n"), "line 1, has 1 columns"),
    ],
)
def test_what_is_no_annotation_is_refused(read, lines, words):
    with pytest.raises(UserMistake, match=words):
        read(*lines)


def test_half_a_gzip_file_is_refused(tmp_path):
    path = tmp_path / "genes.gtf.gz"
    path.write_bytes(gzip.compress("".join(line(transcript=f"T{i}") for i in range(5000)).encode())[:-400])
    with pytest.raises(UserMistake, match="cannot be read as text to its end"):
        read_gtf(path)


@pytest.mark.parametrize(
    ("attributes", "ids"),
    [
        ('gene_id "G1"; transcript_id "T1";', ("G1", "T1", "G1")),
        ("gene_id G1;transcript_id T1", ("G1", "T1", "G1")),
        ('transcript_id "T1" ; gene_name "N1";  gene_id  "G1"', ("G1", "T1", "N1")),
        ('xgene_id "no"; gene_id_x "no"; gene_id "G1"; gene_id "no"; transcript_id "T1"', ("G1", "T1", "G1")),
        ('gene_name ""; gene_id "gène 1"; transcript_id "T=1"', ("gène 1", "T=1", "gène 1")),
    ],
)
def test_attributes_are_read_in_any_order_and_dress(read, attributes, ids):
    models = read(f"1\tx\texon\t1\t9\t.\t+\t.\t{attributes}\n")
    assert (models.gene_ids[0], models.transcript_ids[0], models.symbols[0]) == ids


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_may_be_cut_anywhere_between_blocks(tmp_path, monkeypatch, end):
    path = tmp_path / "genes.gtf"
    lines = ["# a comment\n", "\n", line("G1", kind="gene")]
    lines += [line(f"G{i % 3}", f"T{i % 5}", 10 * i + 1, 10 * i + 5, more=f"exon_number {i};") for i in range(40)]
    path.write_bytes("".join(lines).replace("\n", end).encode()[: -len(end)])
    whole = read_gtf(path)
    for size in (1, 50, 77, 1000):
        monkeypatch.setattr(gtf, "BLOCK", size)
        models = read_gtf(path)
        assert models.digest() == whole.digest()
        assert models.exon_number.tolist() == whole.exon_number.tolist()
    path.write_bytes(path.read_bytes() + f"{end}1\tx\texon".encode())
    with pytest.raises(UserMistake, match="line 44, has 3 columns"):
        read_gtf(path)


@pytest.mark.parametrize(("declared", "number"), [("7", 7), ('"7"', 7), ('" 7 "', 7), ("x", 1), ("-7", 1), ("", 1)])
def test_exon_numbers_are_whole_or_counted(read, declared, number):
    assert read(line(more=f"exon_number {declared};")).exon_number.tolist() == [number]
