"""One library under two names is found, whatever was done to it; other pairs are not."""

import numpy as np
import pyarrow as pa
import pytest
from corpus_makers import HUMAN, make_corpus, make_counts, random_layers
from scipy import sparse

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add, remove
from velocorpus.corpus.duplicates import SIZE, duplicates, sketch_cells, sketch_shards, to_table
from velocorpus.corpus.verify import verify

LETTERS = np.array(list("ACGT"))


def library(seed, n_cells=600, of=100_000):
    """Barcodes drawn from a list of `of`, and totals of three layers."""
    rng = np.random.default_rng(seed)
    codes = rng.choice(of, n_cells, replace=False)
    barcodes = ["".join(LETTERS[(code // 4 ** np.arange(9)) % 4]) for code in codes]
    totals = rng.lognormal([8.5, 7.5, 6.0], 0.5, (n_cells, 3)).astype(np.int64)
    return np.array(barcodes, dtype=object), totals


def sketch(barcodes, totals):
    return sketch_cells(pa.array(list(barcodes), pa.string()), totals)


def pairs(**libraries):
    sketches = {name: sketch(*one) for name, one in libraries.items()}
    return [(pair["samples"], pair) for pair in duplicates(sketches, sketches)]


def test_two_libraries_are_no_pair_though_they_share_some_barcodes():
    assert pairs(a=library(1), b=library(2)) == []


def test_libraries_on_the_same_barcodes_with_other_totals_are_no_pair():
    barcodes, totals = library(1)
    assert pairs(a=(barcodes, totals), b=(barcodes, library(2)[1])) == []


def test_small_cells_whose_totals_meet_by_chance_are_no_pair():
    small = [np.random.default_rng(seed).poisson([30, 10, 3], (600, 3)) for seed in (1, 2)]
    assert pairs(a=(library(1)[0], small[0]), b=(library(2)[0], small[1])) == []


def test_one_library_counted_by_two_tools_is_found():
    barcodes, totals = library(1)
    other = (totals * np.random.default_rng(3).normal(0.9, 0.03, totals.shape)).astype(np.int64)
    ((names, pair),) = pairs(a=(barcodes[50:], totals[50:]), b=(barcodes + "-1", other))
    assert names == ["a", "b"]
    assert pair["barcodes"] > 0.9
    assert pair["correlation"] > 0.95


def test_one_library_whose_cells_were_renamed_is_found():
    barcodes, totals = library(1)
    ((_, pair),) = pairs(a=(barcodes, totals), b=([f"cell{i}" for i in range(600)], totals[::-1]))
    assert pair["totals"] > 0.9


def test_a_library_that_is_part_of_a_larger_sample_is_found():
    (b1, t1), (b2, t2) = library(1), library(2, n_cells=4000)
    ((_, pair),) = pairs(a=(b1, t1), b=(np.concatenate([b1, b2]), np.concatenate([t1, t2])))
    assert pair["barcodes"] > 0.8


def test_a_sketch_does_not_depend_on_how_cells_are_cut_and_is_bounded():
    barcodes, totals = library(1, n_cells=5000)
    cut = sketch(barcodes[:10], totals[:10]) + sketch(barcodes[3000:], totals[3000:]) + sketch(barcodes, totals)
    assert to_table({"a": cut}) == to_table({"a": sketch(barcodes, totals)})
    assert [len(part) for part in vars(cut).values()] == [SIZE] * 3


def test_only_pairs_with_a_new_sample_are_compared():
    sketches = {name: sketch(*library(1)) for name in "abc"}
    assert [pair["samples"] for pair in duplicates(sketches, ["c"])] == [["a", "c"], ["b", "c"]]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """Two samples, b the same library as a with other names and half of its cells."""
    folder = tmp_path_factory.mktemp("counts")
    layers = random_layers(1, 80, len(HUMAN))
    half = {name: sparse.csr_matrix(matrix[:40]) for name, matrix in layers.items()}
    return [make_counts(folder, "a", layers=layers), make_counts(folder, "b", layers=half)]


def test_twins_are_told_when_built_and_when_added_and_none_is_dropped(tmp_path, twins):
    said = []
    folder = make_corpus(tmp_path / "c", twins, say=said.append)
    assert any("a and b look like one library" in line for line in said)
    grown = make_corpus(tmp_path / "g", twins[:1])
    add(grown, twins[1:], samples={}, group_samples=1, say=said.append)
    for path in (folder, grown):
        corpus = Corpus(path)
        assert [pair["samples"] for pair in corpus.manifest["duplicates"]] == [["a", "b"]]
        assert corpus.samples["sample"].to_pylist() == ["a", "b"]
        assert verify(path) == []


def test_a_twin_that_was_removed_is_a_twin_no_more(tmp_path, twins):
    folder = make_corpus(tmp_path / "c", twins)
    remove(folder, ["b"], because="twin of a")
    assert Corpus(folder).manifest["duplicates"] == []


def test_sketches_of_shards_are_those_of_the_cells(tmp_path, twins):
    corpus = Corpus(make_corpus(tmp_path / "c", twins))
    cells = corpus.read(samples=["b"]).obs
    totals = np.stack([cells[f"n_{k}"].to_numpy() for k in ("spliced", "unspliced", "ambiguous")], axis=1)
    found = sketch_shards(shard.path for shard in corpus.shards())["b"]
    assert to_table({"b": found}) == to_table({"b": sketch(cells["barcode"].to_pylist(), totals)})
