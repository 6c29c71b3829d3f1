"""Reads that do not fit their chemistry are refused before they cost a run."""

import gzip

import pytest

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.lengths import check_lengths


def fastq(folder, length, n=5):
    path = folder / f"{length}.fastq.gz"
    with gzip.open(path, "wt") as lines:
        lines.writelines(f"@r{i}\n{'A' * length}\n+\n{'F' * length}\n" for i in range(n))
    return path


@pytest.mark.parametrize(("length", "read"), [(28, 1), (150, 1), (91, 2), (55, 2)])
def test_reads_that_fit_pass(tmp_path, length, read):
    check_lengths(fastq(tmp_path, length), "10xv3", read)


def test_a_barcode_read_given_as_read_2_is_told_as_swapped(tmp_path):
    with pytest.raises(UserMistake, match="swapped"):
        check_lengths(fastq(tmp_path, 28), "10xv3", 2)


def test_a_read_1_of_an_older_chemistry_is_too_short(tmp_path):
    with pytest.raises(UserMistake, match="28 bases of barcode and UMI, but its reads have 26"):
        check_lengths(fastq(tmp_path, 26), "10xv3", 1)
    check_lengths(fastq(tmp_path, 26), "10xv2", 1)


@pytest.mark.parametrize("text", ["", "@r\nACGT\n", ">fasta\nACGT\n+\nFFFF\n", "@r\nACGT\n+\nFF\n"])
def test_what_is_no_fastq_is_refused(tmp_path, text):
    (tmp_path / "x.fastq").write_text(text)
    with pytest.raises(UserMistake, match=r"x\.fastq"):
        check_lengths(tmp_path / "x.fastq", "10xv3", 2)
