"""Samples leave a corpus on record, and no version is lost by it."""

import shutil

import pytest
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.prune import prune
from velocorpus.corpus.changing.samples import add, remove, replace_samples
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.verify import verify
from velocorpus.errors import UserMistake

WHY = {"because": "retracted: doi 1", "by": "ada"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    genes = {"m": MOUSE}
    return {s: make_counts(folder, s, seed=ord(s), n_cells=12, genes=genes.get(s, HUMAN)) for s in "abcm"}


@pytest.fixture(scope="module")
def built(tmp_path_factory, inputs):
    """Two groups: a and b, c and m."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "c", inputs.values(), min_gene_counts=40)


@pytest.fixture
def corpus(built, tmp_path):
    return shutil.copytree(built, tmp_path / "c")


def shards_of(folder):
    return {path.name: path.read_bytes() for path in (folder / "shards").iterdir()}


def test_without_a_sample_the_corpus_equals_one_built_without_it(corpus, inputs, tmp_path):
    remove(corpus, ["b"], **WHY)
    whole = Corpus(make_corpus(tmp_path / "w", [inputs[s] for s in "acm"], min_gene_counts=40))
    left = Corpus(corpus)
    assert left.manifest["content_digest"] == whole.manifest["content_digest"]
    assert left.samples.to_pylist() == whole.samples.to_pylist()
    kept = dict(zip(whole.genes.gene_ids, whole.genes.kept, strict=True))
    assert kept == {g: k for g, k in zip(left.genes.gene_ids, left.genes.kept, strict=True) if g in kept}
    assert verify(corpus) == []


def test_only_shards_that_hold_the_sample_are_written_anew_and_no_file_changes(corpus):
    before, said = shards_of(corpus), []
    remove(corpus, ["b"], **WHY, say=said.append)
    after = shards_of(corpus)
    new = after.keys() - before.keys()
    assert before.items() <= after.items()
    assert [name.split(".")[:2] for name in new] == [["g00000", "train"]]
    assert said[0] == "b: 1 of 6 shards written anew, the others left alone"
    assert verify(corpus) == []


def test_a_removal_leaves_who_what_and_why_and_no_version_is_lost(corpus):
    cells, digest = Corpus(corpus).read().obs, Corpus(corpus).digest
    remove(corpus, ["b"], **WHY)
    manifest = Corpus(corpus).manifest
    (record,) = manifest["removed"]
    assert (manifest["version"], manifest["follows"]) == (2, digest)
    assert {k: record[k] for k in ("sample", "study", "cells", "version", "because", "by", "replaced_by")} == {
        "sample": "b",
        "study": "study_b",
        "cells": 12,
        "version": 2,
        "because": "retracted: doi 1",
        "by": "ada",
        "replaced_by": None,
    }
    assert Corpus(corpus, version=1).read().obs == cells


def test_a_removal_is_the_same_bytes_every_time(corpus, built, tmp_path):
    other = shutil.copytree(built, tmp_path / "other")
    for folder in (corpus, other):
        remove(folder, ["m", "a"], **WHY)
    assert shards_of(corpus) == shards_of(other)
    assert Corpus(corpus).digest == Corpus(other).digest


def test_a_removed_sample_is_not_added_again_by_mistake(corpus, inputs):
    remove(corpus, ["b"], **WHY)
    with pytest.raises(UserMistake, match=r"removed in version 2 \(retracted: doi 1\)"):
        add(corpus, [inputs["b"]], samples={}, group_samples=1)
    replace_samples(corpus, [inputs["b"]], because="cleared", samples={}, group_samples=1)
    manifest = Corpus(corpus).manifest
    assert [record["replaced_by"] for record in manifest["removed"]] == [manifest["counts"]["b"]]
    assert verify(corpus) == []


def test_a_fixed_sample_takes_the_place_of_the_old_one(corpus, inputs, tmp_path):
    fixed = make_counts(tmp_path / "fixed", "b", seed=99, n_cells=15)
    replace_samples(corpus, [fixed], because="wrong GTF", samples={}, group_samples=1)
    whole = Corpus(make_corpus(tmp_path / "w", [fixed, *(inputs[s] for s in "acm")]))
    manifest = Corpus(corpus).manifest
    assert manifest["content_digest"] == whole.manifest["content_digest"]
    assert manifest["removed"][0]["replaced_by"] == manifest["counts"]["b"] == whole.manifest["counts"]["b"]
    assert manifest["version"] == 2
    assert verify(corpus) == []


def test_prune_deletes_what_only_older_versions_need_and_says_so(corpus):
    remove(corpus, ["b"], **WHY)
    assert [path.name for path in prune(corpus)] == ["g00000.train.feather"]
    assert Corpus(corpus).manifest["pruned"] == ["shards/g00000.train.feather"]
    assert verify(corpus) == []
    with pytest.raises(UserMistake, match=r"Version 1 of .*g00000.train.feather was deleted"):
        Corpus(corpus, version=1).read()
    assert Corpus(corpus, version=2).read().obs == Corpus(corpus).read().obs
    assert prune(corpus) == []
    assert Corpus(corpus).manifest["version"] == 3


def test_a_shard_of_an_older_version_that_is_lost_or_damaged_is_a_fault(corpus):
    remove(corpus, ["b"], **WHY)
    old = corpus / "shards" / "g00000.train.feather"
    good = old.read_bytes()
    old.write_bytes(good[:-1] + b"x")
    assert ["g00000.train.feather was changed" in fault for fault in verify(corpus)] == [True]
    old.unlink()
    assert ["g00000.train.feather is missing" in fault for fault in verify(corpus)] == [True]


def test_a_damaged_shard_is_not_given_a_new_digest(corpus):
    path = corpus / "shards" / "g00000.train.feather"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    files = shards_of(corpus)
    with pytest.raises(UserMistake, match="missing or damaged"):
        remove(corpus, ["b"], **WHY)
    assert shards_of(corpus) == files
    assert Corpus(corpus).manifest["version"] == 1


@pytest.mark.parametrize(
    ("gone", "why", "message"),
    [(["x"], "w", "no sample 'x'"), (["a"], " ", "needs its reason"), (list("abcm"), "w", "no sample is left")],
)
def test_mistakes_change_nothing(corpus, gone, why, message):
    before = {p: p.read_bytes() for p in corpus.rglob("*") if p.is_file()}
    with pytest.raises(UserMistake, match=message):
        remove(corpus, gone, because=why)
    assert {p: p.read_bytes() for p in corpus.rglob("*") if p.is_file()} == before


def test_a_held_out_study_stays_held_out_when_its_last_sample_goes(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", [inputs["a"], inputs["b"]], splits=Splits(test=("study_b",)))
    remove(folder, ["b"], **WHY)
    assert verify(folder) == []
    again = make_counts(tmp_path, "new", n_cells=3, study="study_b")
    add(folder, [again], samples={}, group_samples=1)
    assert set(Corpus(folder).read("test").obs["sample"].to_pylist()) == {"new"}


def test_shards_are_full_after_a_removal(tmp_path, monkeypatch):
    monkeypatch.setattr("velocorpus.corpus.schema.BATCH_CELLS", 16)
    inputs = [make_counts(tmp_path, s, seed=i, n_cells=30) for i, s in enumerate("ab")]
    folder = make_corpus(tmp_path / "c", inputs)
    remove(folder, ["a"], **WHY)
    from velocorpus.corpus.reader import read_batches

    (shard,) = [shard for shard in Corpus(folder).shards() if shard.rows]
    assert [batch.num_rows for batch in read_batches(shard.path)] == [16, 14]


def test_a_corpus_of_the_first_release_opens_grows_and_shrinks(corpus, inputs, tmp_path):
    """It has no sketches, no rules and no record of duplicates."""
    import json

    manifest = json.loads((corpus / "manifest.json").read_text())
    (corpus / manifest["files"].pop("sketches")["path"]).unlink()
    for key in ("duplicates", "hold_out"):
        del manifest[key]
    for name in ("manifest.json", "manifests/1.json"):
        (corpus / name).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    assert verify(corpus) == []
    remove(corpus, ["b"], **WHY)
    add(corpus, [make_counts(tmp_path, "d", n_cells=5)], samples={}, group_samples=1)
    assert verify(corpus) == []
