"""A file gets its name when it is sound; a local one becomes a link."""

import gzip
import hashlib
from collections import deque
from pathlib import Path

import h5py
import pytest
from fetching import CONTENT, MD5, RECORD, files_in, get
from tests.drills import misbehaving as bad

from velocorpus.errors import UserMistake

BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def test_a_wrong_md5_is_refused_and_nothing_stays(url, tmp_path):
    with pytest.raises(UserMistake, match=f"has MD5 {MD5}, the table says {'0' * 32}"):
        get(url, tmp_path / "a.gz", md5="0" * 32)
    assert files_in(tmp_path) == []


def test_a_length_that_is_not_the_tables_is_refused_before_it_is_fetched(site, url, tmp_path):
    with pytest.raises(UserMistake, match=f"has {len(CONTENT):,} bytes, the table says 99"):
        get(url, tmp_path / "a.gz", size=99)
    assert len(site.asked) == 1
    assert files_in(tmp_path) == []


def test_a_gzip_file_that_was_cut_at_its_source_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is cut short"):
        get(site.keep("a.fastq.gz", CONTENT[:-100]), tmp_path / "a.gz")
    assert files_in(tmp_path) == []


def test_damage_inside_a_gzip_file_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.keep("a.fastq.gz", CONTENT[:5000] + b"\x00" + CONTENT[5001:]), tmp_path / "a.gz")


def test_reads_that_end_within_a_record_are_refused(site, tmp_path):
    cut_between_streams = gzip.compress(RECORD * 9 + b"@read\nACGT\n")
    with pytest.raises(UserMistake, match="its 38 lines are not four to a read"):
        get(site.keep("a.fastq.gz", cut_between_streams), tmp_path / "a.fastq.gz")


def test_a_bam_without_its_end_mark_is_refused(site, tmp_path):
    block = gzip.compress(b"BAM")
    assert get(site.keep("a.bam", block + BGZF_END), tmp_path / "a.bam") == block + BGZF_END
    with pytest.raises(UserMistake, match="has no end mark of BAM"):
        get(site.keep("cut.bam", block), tmp_path / "b.bam")


@pytest.fixture
def counts(tmp_path):
    """The bytes of an HDF5 file."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = list(range(9999))
    content = (tmp_path / "x.h5").read_bytes()
    (tmp_path / "x.h5").unlink()
    return content


def test_counts_that_their_host_packed_are_unpacked(site, tmp_path, counts):
    packed = gzip.compress(counts)
    url = site.keep("GSM1_x.h5ad.gz", packed)
    md5 = hashlib.md5(packed).hexdigest()
    assert get(url, tmp_path / "x.h5ad", md5=md5, size=len(packed)) == counts
    assert files_in(tmp_path) == ["x.h5ad"]
    (tmp_path / "x.loom.gz").write_bytes(packed)
    assert get(tmp_path / "x.loom.gz", tmp_path / "x.loom") == counts
    assert get(url, tmp_path / "x.h5ad.gz") == packed


@pytest.mark.parametrize("name", ["x.h5ad", "x.h5ad.gz"])
def test_counts_that_are_only_named_gz_are_taken_as_they_are(site, tmp_path, counts, name):
    assert get(site.keep("SRX1.h5ad.gz", counts), tmp_path / name) == counts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda counts: gzip.compress(counts[:-5000]), "What is packed in .* is not a sound HDF5 file"),
        (lambda counts: gzip.compress(counts)[:-9], "is cut short"),
        (lambda counts: counts[:-5000], "is not a sound HDF5 file"),
        (lambda counts: b"page not found", "is not a sound HDF5 file"),
    ],
)
def test_packed_counts_that_are_damaged_are_refused_and_nothing_stays(site, tmp_path, counts, change, said):
    with pytest.raises(UserMistake, match=said):
        get(site.keep("x.h5ad.gz", change(counts)), tmp_path / "x.h5ad")
    assert files_in(tmp_path) == []


def test_an_hdf5_file_that_is_cut_is_refused(site, tmp_path, counts):
    assert get(site.keep("a.loom", counts), tmp_path / "a.loom") == counts
    with pytest.raises(UserMistake, match=r"is not a sound HDF5 file .*truncated"):
        get(site.keep("b.loom", counts[:-5000]), tmp_path / "b.loom")


def test_a_web_page_instead_of_reads_is_refused(site, url, tmp_path):
    site.faults = deque([bad.web_page])
    with pytest.raises(UserMistake, match="answers with a web page instead of a file"):
        get(url, tmp_path / "a.gz")


def test_a_page_that_does_not_say_so_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.keep("a.gz", b"<html>log in first</html>"), tmp_path / "a.gz")


def test_an_empty_file_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is empty"):
        get(site.keep("a.gz", b""), tmp_path / "a.gz")


def test_a_local_file_becomes_a_link(tmp_path):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT)
    assert get(tmp_path / "here.fastq.gz", tmp_path / "out" / "a.fastq.gz", md5=MD5) == CONTENT
    assert (tmp_path / "out" / "a.fastq.gz").is_symlink()


def test_a_local_file_that_fails_its_checks_is_left_as_it_was(tmp_path):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT[:-9])
    with pytest.raises(UserMistake, match="is cut short"):
        get(tmp_path / "here.fastq.gz", tmp_path / "out" / "a.fastq.gz")
    assert (tmp_path / "here.fastq.gz").read_bytes() == CONTENT[:-9]
    assert files_in(tmp_path / "out") == []


def test_a_local_file_of_another_size_is_refused(tmp_path):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT)
    with pytest.raises(UserMistake, match=f"has {len(CONTENT):,} bytes, the table says 9; correct the table"):
        get(tmp_path / "here.fastq.gz", tmp_path / "a.fastq.gz", size=9)


def test_a_file_does_not_become_a_link_to_itself(tmp_path, monkeypatch):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserMistake, match="is what --out names, too"):
        get(tmp_path / "here.fastq.gz", Path("here.fastq.gz"))
    assert (tmp_path / "here.fastq.gz").read_bytes() == CONTENT
    assert get(tmp_path / "here.fastq.gz", tmp_path / "link.gz") == CONTENT
    assert get(tmp_path / "here.fastq.gz", tmp_path / "link.gz") == CONTENT


def test_a_folder_for_a_file_is_refused_before_it_is_fetched(site, url, tmp_path):
    with pytest.raises(UserMistake, match="is a folder; give the name"):
        get(url, tmp_path)
    assert site.asked == []


def test_a_local_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(UserMistake, match="does not exist"):
        get(tmp_path / "absent.gz", tmp_path / "a.gz")


def test_an_unknown_scheme_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"allowed are a path, http\(s\)://, s3:// and sra:RUN"):
        get("ftp://host/a.gz", tmp_path / "a.gz")
