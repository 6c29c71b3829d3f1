"""Empty chemistries of a table are filled from the reads, and nothing else of it is touched."""

from pathlib import Path

import pytest
from libraries import library, verdict_on, write

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.fill_table import fill_chemistries
from velocorpus.reads.chemistry.verdict import Verdict

HEADER = "sample\tstudy\torganism\tquantifier\treference\tchemistry\ttissue\n"


@pytest.fixture
def tables(tmp_path):
    """Writes both tables for one library a sample, whose chemistry the table says or leaves open."""

    def make(samples, organism="human"):
        rows, units = HEADER + "# a comment\n", "sample\tunit\tread1\tread2\n"
        for name, (kind, chemistry) in samples.items():
            files = library(kind)
            one, two = (write(tmp_path / f"{name}_{i}.fq.gz", files[r]) for i, r in enumerate(("barcode", "cdna")))
            rows += f"{name}\tst\t{organism}\tkb\tr\t{chemistry}\tblood \n"
            units += f"{name}\tu\t{one}\t{two}\n"
        (tmp_path / "samples.tsv").write_text(rows)
        (tmp_path / "units.tsv").write_text(units)
        return tmp_path / "samples.tsv", tmp_path / "units.tsv"

    return make


def test_only_the_empty_cells_are_filled(tables):
    samples, units = tables({"a": ("10xv3", ""), "b": ("10xv3", "10xv4")})
    before = samples.read_text()
    fill_chemistries(samples, units, verdict_on)
    assert samples.read_text() == before.replace("kb\tr\t\t", "kb\tr\t10xv3\t")


def test_what_is_clear_is_filled_and_what_is_not_is_named(tables):
    samples, units = tables({"a": ("unlisted", ""), "b": ("10xv2", ""), "c": ("antibody", "")})
    with pytest.raises(UserMistake, match=r"2 chemistries stay empty; a: .* \| c: .*not quantified here"):
        fill_chemistries(samples, units, verdict_on)
    assert [line.split("\t")[5] for line in samples.read_text().splitlines()[2:]] == ["", "10xv2", ""]


def test_line_ends_and_short_rows_stay_and_a_strange_character_ends_no_line(tables):
    samples, units = tables({"a": ("10xv3", "10xv3"), "b": ("10xv4", "")})
    text = (
        samples.read_text().replace("blood", "bl\u2028ood", 1).replace("kb\tr\t\tblood ", "kb\tr").replace("\n", "\r\n")
    )
    samples.write_bytes(text.encode())
    fill_chemistries(samples, units, verdict_on)
    assert samples.read_bytes().decode() == text.replace("kb\tr\r\n", "kb\tr\t10xv4\r\n")


def test_files_that_are_no_reads_leave_their_own_sample_empty_only(tables):
    samples, units = tables({"a": ("10xv3", ""), "b": ("10xv3", "")})
    (samples.parent / "a_0.fq.gz").write_text("no reads")
    with pytest.raises(UserMistake, match=r"1 chemistries stay empty; a: .*not a sound FASTQ"):
        fill_chemistries(samples, units, verdict_on)
    assert samples.read_text().splitlines()[3].split("\t")[5] == "10xv3"


def test_what_is_recognised_and_not_quantified_is_not_filled_in(tables):
    samples, units = tables({"a": ("10xv3", "")})
    with pytest.raises(UserMistake, match=r"the reads are 10xv1 .*not quantified here"):
        fill_chemistries(samples, units, lambda paths: Verdict("confident", "10xv1", "10x gene expression", ("",)))


def test_a_sample_of_another_species_stays_empty(tables):
    samples, units = tables({"a": ("10xv3", "")}, organism="mouse")
    with pytest.raises(UserMistake, match="the table says mouse, but the cDNA is of human"):
        fill_chemistries(samples, units, verdict_on)


def test_reads_elsewhere_stay_empty(tables):
    samples, units = tables({"a": ("10xv3", "")})
    units.write_text("sample\tunit\tread1\tread2\na\tu\thttps://x/1.fq.gz\thttps://x/2.fq.gz\n")
    with pytest.raises(UserMistake, match="not on this machine"):
        fill_chemistries(samples, units, lambda paths: pytest.fail(f"looked at {paths}"))
    assert Path(samples).read_text().count("10xv3") == 0
