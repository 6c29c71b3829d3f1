"""Sketches tell which samples are one library; quality tells which cannot be good."""

import numpy as np
import pytest
from libraries import LISTS, library, write

from velocorpus.errors import UserMistake
from velocorpus.reads.chemistry.quality import measure
from velocorpus.reads.chemistry.sampling import sample_reads
from velocorpus.reads.chemistry.sketch import SIZE, read_sketches, repeated_from, shared, sketch_reads, write_sketches

V3 = LISTS["10xv3"]


def sketch(path, most=0):
    return sketch_reads([path], V3, 12, most=most)


@pytest.fixture(scope="module")
def library_files(tmp_path_factory):
    """Two libraries, and the first one in other order and with a longer read."""
    folder = tmp_path_factory.mktemp("libraries")
    one, two = (library("10xv3", 6000, seed=seed)["barcode"] for seed in (1, 2))
    again = np.concatenate([one, np.full((len(one), 30), 3, np.uint8)], axis=1)[::-1]
    return {
        name: write(folder / f"{name}.fq.gz", codes)
        for name, codes in {"one": one, "two": two, "again": again, "half": one[:3000]}.items()
    }


def test_one_library_in_other_order_has_the_same_sketch(library_files):
    assert (sketch(library_files["one"]) == sketch(library_files["again"])).all()
    assert len(sketch(library_files["one"])) == SIZE


def test_libraries_share_nothing_and_parts_share_all(library_files):
    one, two, half = (sketch(library_files[name]) for name in ("one", "two", "half"))
    assert shared(one, two) == 0
    assert shared(one, half) > 0.99


def test_the_sketch_of_lanes_is_that_of_their_reads(library_files):
    both = sketch_reads([library_files["one"], library_files["two"]], V3, 12, most=0)
    union = np.unique(np.concatenate([sketch(library_files["one"]), sketch(library_files["two"])]))
    assert (both == union[:SIZE]).all()


def test_only_the_first_reads_are_sketched_when_asked(library_files):
    assert (sketch(library_files["one"], most=3000) == sketch(library_files["half"])).all()


def test_umis_of_one_base_are_no_molecules(tmp_path):
    codes = library("10xv3", 500)["barcode"]
    codes[:, 16:] = 3
    assert not len(sketch(write(tmp_path / "t.fq.gz", codes)))


def test_the_first_of_the_samples_that_share_is_named(library_files):
    sketches = {name: sketch(path) for name, path in library_files.items()}
    half = sketches.pop("half")
    assert repeated_from(half, sketches, 0.1) == ("one", 1.0)
    assert repeated_from(half, {"two": sketches["two"]}, 0.1) is None
    assert repeated_from(half, sketches, 1.0) is None


def test_small_sketches_say_nothing():
    few = np.arange(50, dtype=np.uint64)
    assert shared(few, few) == 0


def test_sketches_are_read_as_they_were_written_and_equal_ones_are_equal_bytes(tmp_path, library_files):
    whole = {name: sketch(library_files[name]) for name in ("two", "one")} | {"none": np.zeros(0, np.uint64)}
    for name in "ab":
        write_sketches(tmp_path / f"{name}.npz", whole)
    again = read_sketches(tmp_path / "a.npz")
    assert list(again) == list(whole)
    assert all((again[name] == whole[name]).all() for name in whole)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    write_sketches(tmp_path / "empty.npz", {})
    assert read_sketches(tmp_path / "empty.npz") == {}


@pytest.mark.parametrize("content", [b"text", b"", b"PK\x03\x04"])
def test_another_file_is_no_sketch(tmp_path, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserMistake, match="is no sketch"):
        read_sketches(tmp_path / "x.npz")


def test_a_fault_after_thousands_of_reads_is_the_files(tmp_path, library_files):
    import gzip

    (tmp_path / "x.fq.gz").write_bytes(gzip.compress(gzip.decompress(library_files["one"].read_bytes())[:-9]))
    with pytest.raises(UserMistake, match="not a sound FASTQ"):
        sketch(tmp_path / "x.fq.gz")


def quality(folder, change=lambda files: None):
    files = library("10xv3", 1000, error=0)
    change(files)
    reads = [
        sample_reads(write(folder / f"{r}.fq.gz", files[r]), n=1000, window=1000, seed=0) for r in ("barcode", "cdna")
    ]
    return measure([reads[0]], [reads[1]], V3, 12)


def test_good_reads_pass(tmp_path):
    found = quality(tmp_path)
    assert found.valid_barcodes.value == 1
    assert not found.failures(min_valid_barcodes=0.9, max_poly_t=0.1)


def half(files, role, columns, value):
    files[role][: len(files[role]) // 2, columns] = value


@pytest.mark.parametrize(
    ("change", "measured", "share", "said"),
    [
        (
            lambda files: half(files, "barcode", slice(0, 16), 0),
            "valid_barcodes",
            0.5,
            "of the barcodes are on the list",
        ),
        (lambda files: half(files, "barcode", slice(16, 28), 3), "poly_t_umi", 0.5, "of the UMIs are tracts of T"),
        (lambda files: half(files, "cdna", slice(5, 25), 3), "poly_t", 0.5, "of the cDNA reads are tracts of T"),
        (lambda files: half(files, "cdna", slice(0, 20), 0), "poly_a", 0.5, None),
        (lambda files: half(files, "cdna", slice(40, 60), 4), "unread", 0.5, None),
    ],
)
def test_each_fault_is_measured_and_said(tmp_path, change, measured, share, said):
    found = quality(tmp_path, change)
    assert getattr(found, measured).value == pytest.approx(share, abs=0.01)
    failures = found.failures(min_valid_barcodes=0.9, max_poly_t=0.1)
    assert [said in failure for failure in failures] == ([True] if said else [])
