"""Reads are drawn alike from every file of a lane; lists are read as they are."""

import gzip

import numpy as np
import pytest

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.barcode_lists import BarcodeList, Place, best_place, known_lists, listed, read_list
from velocorpus.reads.chemistry.sampling import (
    NO_BASE,
    ReadSample,
    encode,
    reverse_complement,
    sample_reads,
    spot_of,
    words,
)


def fastq(path, reads, name="@r{} 1:N:0"):
    path.write_text("".join(f"{name.format(i)}\n{read}\n+\n{'F' * len(read)}\n" for i, read in enumerate(reads)))
    return path


def test_files_of_a_lane_give_reads_of_the_same_spots(tmp_path):
    one, other = (
        fastq(tmp_path / f"{i}.fastq", [read] * 500, name)
        for i, (read, name) in enumerate([("ACGT", "@r{}"), ("GG", "@r{}/2")])
    )
    a, b = (sample_reads(path, n=50, window=400, seed=3) for path in (one, other))
    assert (a.spots, a.n_seen, len(a.codes)) == (b.spots, 400, 50)
    assert a.spots != sample_reads(one, n=50, window=400, seed=4).spots


@pytest.mark.parametrize(
    ("name", "spot"),
    [("A:1:2 1:N:0:AC", "A:1:2"), ("A:1:2/2", "A:1:2"), ("SRR12.7.2 7 length=9", "SRR12.7"), ("SRR12.7", "SRR12.7")],
)
def test_the_number_of_the_read_is_no_part_of_its_spot(name, spot):
    assert spot_of(name) == spot


@pytest.mark.parametrize(
    "content", [b"", b"@r\nACGT\n", b">x\nACGT\n", gzip.compress(b"@r\nA\n+\nF\n" * 999, mtime=0)[:40]]
)
def test_what_is_no_fastq_is_refused(tmp_path, content):
    (tmp_path / "x.fastq.gz").write_bytes(content)
    with pytest.raises(UserMistake, match=r"x\.fastq\.gz"):
        sample_reads(tmp_path / "x.fastq.gz", n=10, window=10, seed=0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["x.fastq", "x.fastq.gz"])
def test_whether_a_fastq_is_packed_its_content_says(tmp_path, pack, name):
    (tmp_path / name).write_bytes(pack(b"@r\nACGT\n+\nFFFF\n"))
    assert len(sample_reads(tmp_path / name, n=10, window=10, seed=0).codes) == 1


def test_bases_are_coded_and_short_reads_padded():
    assert encode(["ACGT", "tN"]).tolist() == [[0, 1, 2, 3], [3, NO_BASE, NO_BASE, NO_BASE]]


def test_words_are_numbers_in_base_4_of_reads_that_have_them():
    values, whole = words(encode(["ACGT", "ACN", "TTTT"]), 1, 2)
    assert (values[0], values[2], whole.tolist()) == (0b0110, 0b1111, [True, False, True])
    assert not words(encode(["ACGT"]), 2, 3)[1].any()


def test_turned_words_are_reverse_complements():
    values, _ = words(encode(["AACG"]), 0, 4)
    turned, _ = words(encode(["CGTT"]), 0, 4)
    assert reverse_complement(values, 4) == turned


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda text: text.replace(b"\n", b"\r\n")])
def test_a_list_is_read_plain_or_gzip_and_sorted(tmp_path, pack):
    (tmp_path / "list").write_bytes(pack(b"TTTTAAAA\nAAAACCCC\n"))
    found = read_list("x", tmp_path / "list")
    assert found.codes.tolist() == sorted(words(encode(["TTTTAAAA", "AAAACCCC"]), 0, 8)[0].tolist())


@pytest.mark.parametrize(
    "content",
    [b"", b"ACGTACGT-1\n", b"ACGTACGT\nACGT\n", b"ACGTACGN\n", b"barcodes\n", gzip.compress(b"A" * 99, mtime=0)[:25]],
)
def test_what_is_no_list_is_refused(tmp_path, content):
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(UserMistake, match="list"):
        read_list("x", tmp_path / "list")


def test_a_list_holds_its_barcodes_and_no_others():
    rng = np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 4**8, 9000, np.uint64))
    asked = np.arange(4**8, dtype=np.uint64)
    assert (BarcodeList("x", 8, codes).holds(asked) == np.isin(asked, codes)).all()
    assert BarcodeList("y", 31, codes).holds(codes).all()


@pytest.mark.parametrize("place", [Place(), Place(3), Place(0, True), Place(7, True)])
def test_the_place_of_barcodes_is_found(place):
    rng = np.random.default_rng(0)
    barcodes = rng.integers(0, 4, (50, 16)).astype(np.uint8)
    listing = BarcodeList("x", 16, np.unique(words(barcodes, 0, 16)[0]))
    reads = barcodes[rng.integers(0, 50, 300)]
    reads = 3 - reads[:, ::-1] if place.turned else reads
    codes = np.concatenate([rng.integers(0, 4, (300, place.offset)), reads, rng.integers(0, 4, (300, 10))], axis=1)
    sample = ReadSample("x", codes.astype(np.uint8), np.full(300, codes.shape[1]), 300, "")
    assert best_place(sample, listing) == place
    assert listed(sample, listing, place).all()


def test_carried_lists_are_10xs_and_a_given_one_takes_its_place(tmp_path):
    pytest.importorskip("ngs_tools")
    (tmp_path / "own").write_text("ACGTACGTACGTACGT\n")
    own = dict.fromkeys(("10xv3", "10xv4", "10xmultiome", "10x ATAC", "10x multiome ATAC"), tmp_path / "own")
    found = {one.name: one for one in known_lists(own)}
    assert {name: len(found[name].codes) for name in ("10xv1", "10xv2", "10xv3")} == {
        "10xv1": 737_280,
        "10xv2": 737_280,
        "10xv3": 1,
    }
