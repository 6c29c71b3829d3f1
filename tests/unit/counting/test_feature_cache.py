"""What is kept of a GTF is what would be made of it, or it is made again."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bam_makers import transcript_lines

from velocorpus.counting import feature_cache
from velocorpus.counting.corrections import CHROMOSOME_NAMES, TOUCHING_EXONS
from velocorpus.counting.feature_cache import cached_features
from velocorpus.counting.features import build_features
from velocorpus.errors import UserMistake
from velocorpus.files import cache_folder, sha256
from velocorpus.reference.gtf import read_gtf


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("VELOCORPUS_CACHE", str(folder))
    return folder


@pytest.fixture
def gtf(tmp_path):
    path = tmp_path / "genes.gtf"
    path.write_text(
        transcript_lines("ENSG00000000001.3", "T1", [(1001, 1200), (2001, 2200), (2201, 2300)], chromosome="chr1")
        + transcript_lines("G2", "T2", [(2401, 2600)], "-", "chr2")
        + transcript_lines("G2", "T3", [(2401, 2600)], "+", "chr2")
    )
    return path


def assert_same(ours, theirs):
    for field in dataclasses.fields(theirs):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if isinstance(b, np.ndarray):
            assert a.dtype == b.dtype, field.name
            assert np.array_equal(a, b), field.name
        else:
            assert a == b, field.name
            assert type(a) is type(b), field.name


def test_second_call_reads_no_gtf_and_gives_the_same(folder, gtf, monkeypatch):
    cached_features(gtf)
    monkeypatch.setattr(feature_cache, "read_gtf", lambda path: pytest.fail("the GTF was read again"))
    models, features, digest = cached_features(gtf)
    expected = read_gtf(gtf)
    assert expected.warnings
    assert_same(models, expected)
    assert_same(features, build_features(expected))
    assert digest == expected.digest()


def test_changed_gtf_is_read(folder, gtf):
    cached_features(gtf)
    gtf.write_text(gtf.read_text() + transcript_lines("G9", "T9", [(1, 9)]))
    assert cached_features(gtf)[0].gene_ids[-1] == "G9"


def test_unchanged_gtf_is_not_even_hashed(folder, gtf, monkeypatch):
    os.utime(gtf, (1, 1))
    monkeypatch.setattr(feature_cache, "CLOCK_GRAIN", -1.0)
    hashed = []
    monkeypatch.setattr(feature_cache, "sha256", lambda path: hashed.append(path) or sha256(path))
    cached_features(gtf)
    assert hashed == [gtf]
    monkeypatch.setattr(feature_cache, "read_gtf", lambda path: pytest.fail("the GTF was read again"))
    cached_features(gtf)
    assert hashed == [gtf]


def test_gtf_rewritten_just_now_is_hashed(folder, gtf):
    cached_features(gtf)
    assert not list(folder.glob("seen-*"))


def test_corrections_have_features_of_their_own(folder, gtf):
    names = [tuple(cached_features(gtf, correct)[1].chromosomes) for correct in (frozenset(), {CHROMOSOME_NAMES})]
    assert names == [("1", "2"), ("chr1", "chr2")]
    n_introns = [cached_features(gtf, correct)[1].is_intron.sum() for correct in (frozenset(), {TOUCHING_EXONS})]
    assert n_introns == [2, 1]


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_broken_cache_is_told_and_made_again(folder, gtf, content):
    cached_features(gtf)
    (kept,) = folder.glob("*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2] if content is None else content)
    said = []
    assert cached_features(gtf, say=said.append)[0].gene_ids == ("ENSG00000000001", "G2")
    assert len(said) == 1
    assert "is broken" in said[0]
    cached_features(gtf, say=pytest.fail)


def test_flipped_byte_is_found(folder, gtf):
    cached_features(gtf)
    (kept,) = folder.glob("*.npz")
    content = bytearray(kept.read_bytes())
    content[content.index(b"ENSG0000")] ^= 1
    kept.write_bytes(content)
    assert cached_features(gtf)[0].gene_ids == ("ENSG00000000001", "G2")


def test_another_gtfs_cache_under_this_name_is_made_again(folder, gtf, tmp_path):
    cached_features(gtf)
    (first,) = folder.glob("*.npz")
    other = tmp_path / "other.gtf"
    other.write_text(transcript_lines("G9", "T9", [(1, 9)]))
    cached_features(other)
    (second,) = set(folder.glob("*.npz")) - {first}
    first.write_bytes(second.read_bytes())
    assert cached_features(gtf)[0].gene_ids == ("ENSG00000000001", "G2")


def test_folder_that_cannot_be_made_costs_one_note(folder, gtf):
    folder.write_text("a file stands where the folder should be")
    said = []
    assert cached_features(gtf, say=said.append)[0].gene_ids
    assert len(said) == 1
    assert "cannot be kept" in said[0]


def test_full_disk_costs_one_note_and_leaves_nothing(folder, gtf, monkeypatch):
    def full(file, **arrays):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    said = []
    assert cached_features(gtf, say=said.append)[0].gene_ids
    assert len(said) == 1
    assert "No space left" in said[0]
    assert not list(folder.glob("features-*")) + list(folder.glob(".*"))


def test_oldest_go_beyond_a_number(folder, gtf, monkeypatch):
    monkeypatch.setattr(feature_cache, "N_KEPT", 2)
    cached_features(gtf)
    (first,) = folder.glob("*.npz")
    os.utime(first, (1, 1))
    (folder / "features-older.npz").write_bytes(b"")
    os.utime(folder / "features-older.npz", (0, 0))
    cached_features(gtf, {TOUCHING_EXONS})
    kept = list(folder.glob("*.npz"))
    assert len(kept) == 2
    assert first in kept


def test_use_keeps_a_file_young(folder, gtf):
    cached_features(gtf)
    (kept,) = folder.glob("*.npz")
    os.utime(kept, (1, 1))
    cached_features(gtf)
    assert kept.stat().st_mtime > 1


def test_two_processes_at_once_both_get_it(folder, gtf):
    code = f"from velocorpus.counting.feature_cache import cached_features; print(cached_features({str(gtf)!r})[2])"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == [read_gtf(gtf).digest()] * 2
    assert not list(folder.glob(".*"))


def test_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.delenv("VELOCORPUS_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "velocorpus"
    monkeypatch.setenv("VELOCORPUS_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


def test_user_without_a_home_costs_one_note(monkeypatch, gtf):
    for name in ("VELOCORPUS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "expanduser", lambda path: (_ for _ in ()).throw(RuntimeError("no home")))
    said = []
    assert cached_features(gtf, say=said.append)[0].gene_ids
    assert len(said) == 1


def test_refusals_are_the_readers(folder, tmp_path):
    with pytest.raises(UserMistake, match="does not exist"):
        cached_features(tmp_path / "absent.gtf")
    (tmp_path / "empty.gtf").write_text("")
    with pytest.raises(UserMistake, match="has no exon lines"):
        cached_features(tmp_path / "empty.gtf")
