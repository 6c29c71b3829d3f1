"""Files that cannot be counted by, or counted: each one sentence with the words that mend it."""

import pytest
from bam_makers import ReadSpec, write_bam

COUNT = "count --bam {0}reads.bam --gtf {1}genes.gtf --barcodes {2}cells.tsv --out {3}/out"


@pytest.fixture
def count(project, tmp_path, refused):
    """Refuse to count when `name` among the good inputs is replaced by the file of that name in tmp_path."""

    def run(name, *words, more=""):
        folders = [f"{tmp_path if one == name else project}/" for one in ("reads.bam", "genes.gtf", "cells.tsv")]
        refused(COUNT.format(*folders, tmp_path) + more, name, *words)

    return run


def test_bam_without_barcodes(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", barcode=None, umi=None)])
    count("reads.bam", "CB", "UB")


def test_bam_without_umis(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", umi=None)])
    count("reads.bam", "UB")


def test_bam_without_reads(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [])
    count("reads.bam")


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_truncated_bam(tmp_path, project, count, keep):
    whole = (project / "reads.bam").read_bytes()
    (tmp_path / "reads.bam").write_bytes(whole[: int(len(whole) * keep)])
    count("reads.bam", "truncated")


def test_damaged_bam(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150 + i, "90M") for i in range(500)])
    data = bytearray((tmp_path / "reads.bam").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "reads.bam").write_bytes(data)
    count("reads.bam")


def test_bam_of_another_genome(tmp_path, count):
    write_bam(tmp_path / "reads.bam", [ReadSpec(150, "90M", chromosome="NC_1")], chromosomes=["NC_1"])
    count("reads.bam", "NC_1")


def test_barcodes_of_another_sample(tmp_path, project, refused):
    (tmp_path / "cells.tsv").write_text("GGGGTTTT-1\n")
    line = COUNT.format(f"{project}/", f"{project}/", f"{tmp_path}/", tmp_path)
    refused(line, "reads.bam", "listed barcodes", "AAAACCCC")


@pytest.mark.parametrize("text", ["", "\n\n", "barcode\n", "AAAA\nAAAA\n", "sample,cell\n1,AAAA\n"])
def test_lists_of_cells(tmp_path, count, text):
    (tmp_path / "cells.tsv").write_text(text)
    count("cells.tsv")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#only a comment\n",
        '1\tx\tgene\t1\t9\t.\t+\t.\tgene_id "G";\n',
        '1\tx\texon\t1\t9\t.\t+\t.\ttranscript_id "T";\n',
        '1\tx\texon\t9\t1\t.\t+\t.\tgene_id "G"; transcript_id "T";\n',
        "1\tx\texon\t1\t9\t.\t+\t.\tID=exon:1;Parent=T\n",
        "1 x exon 1 9\n",
    ],
)
def test_gtfs(tmp_path, project, count, refused, text):
    (tmp_path / "genes.gtf").write_text(text)
    count("genes.gtf")
    refused(f"reference --gtf {tmp_path}/genes.gtf --out {tmp_path}/out", "genes.gtf")


def test_options_of_count(count):
    count("", "permissive10x", more=" --logic strict")
    count("", "native", more=" --engine fast")
    count("", "XX", more=" --cell-tag XX")


def test_fasta_without_the_chromosomes_of_the_gtf(tmp_path, project, refused):
    (tmp_path / "other.fa").write_text(">chrX\n" + "ACGT" * 300 + "\n")
    line = f"reference --gtf {project}/genes.gtf --fasta {tmp_path}/other.fa --out {tmp_path}/out"
    refused(line, "other.fa", "chrX")


def test_fasta_that_is_shorter_than_its_genes(tmp_path, project, refused):
    (tmp_path / "short.fa").write_text(">1\nACGT\n")
    refused(f"reference --gtf {project}/genes.gtf --fasta {tmp_path}/short.fa --out {tmp_path}/out", "short.fa")


def test_offset(tmp_path, project, refused):
    refused(f"reference --gtf {project}/genes.gtf --offset 21 --out {tmp_path}/out", "--offset 21", "21:881")
