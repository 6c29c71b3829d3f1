"""Part of a corpus: as cells in memory, as an AnnData, as a corpus of its own."""

import shutil

import anndata as ad
import pytest
from corpus_makers import HUMAN, MOUSE, assert_holds, make_corpus, make_counts, run

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.part import write_part
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.verify import verify
from velocorpus.counting.counts_file import read_counts
from velocorpus.errors import UserMistake

SAMPLES = {
    "a": {"study": "s1", "organism": "human", "tissue": "blood"},
    "b": {"study": "s1", "organism": "human", "tissue": "lung"},
    "c": {"study": "s2", "organism": "human", "tissue": "lung"},
    "m": {"study": "s3", "organism": "mouse"},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    return {s: make_counts(folder, s, seed=ord(s), n_cells=9, genes=MOUSE if s == "m" else HUMAN) for s in "abcm"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, inputs):
    out = tmp_path_factory.mktemp("corpus") / "c"
    return make_corpus(out, inputs.values(), samples=SAMPLES, splits=Splits(test=("s2",)), min_gene_counts=40)


@pytest.mark.parametrize(
    ("where", "samples"),
    [
        ({"tissue": ["lung"]}, "bc"),
        ({"tissue": ["lung"], "study": ["s1"]}, "b"),
        ({"organism": ["mouse"]}, "m"),
        ({"organism": ["human", "mouse"]}, "abcm"),
    ],
)
def test_cells_are_chosen_by_columns_of_their_samples(folder, where, samples):
    assert set(Corpus(folder).read(where=where).obs["sample"].to_pylist()) == set(samples)


def test_a_list_of_cells_gives_those_cells_and_no_other(folder):
    listed = ["a:BC00003", "m:BC00000"]
    assert sorted(Corpus(folder).read(cells=listed).obs["cell_id"].to_pylist()) == listed
    with pytest.raises(UserMistake, match=r"1 cells of the list are not in this selection \(first: a:BC00003\)"):
        Corpus(folder).read(cells=listed, where={"organism": ["mouse"]})


@pytest.mark.parametrize(("where", "said"), [({"tissue": ["lungs"]}, "blood, lung"), ({"color": ["x"]}, "no column")])
def test_values_and_columns_that_are_not_there_are_refused(folder, where, said):
    with pytest.raises(UserMistake, match=said):
        Corpus(folder).read(where=where)


def test_a_part_equals_a_corpus_built_of_the_same_samples(folder, inputs, tmp_path):
    write_part(Corpus(folder), tmp_path / "p", where={"study": ["s1", "s3"]})
    part = Corpus(tmp_path / "p")
    whole = Corpus(make_corpus(tmp_path / "w", [inputs[s] for s in "abm"], samples=SAMPLES, min_gene_counts=40))
    assert part.manifest["content_digest"] == whole.manifest["content_digest"]
    assert part.samples.to_pylist() == whole.samples.to_pylist()
    assert part.genes.gene_ids == Corpus(folder).genes.gene_ids
    assert part.manifest["subset"] == {"of": Corpus(folder).digest, "version": 1}
    assert verify(part.path) == []
    for sample in "abm":
        assert_holds(part, inputs[sample])


def test_a_part_of_listed_cells_is_whole_and_has_their_totals(folder, tmp_path):
    listed = {"a:BC00003", "a:BC00004", "c:BC00001"}
    write_part(Corpus(folder), tmp_path / "p", cells=listed)
    part = Corpus(tmp_path / "p")
    assert set(part.read().obs["cell_id"].to_pylist()) == listed
    assert dict(zip(part.samples["sample"].to_pylist(), part.samples["cells"].to_pylist(), strict=True)) == {
        "a": 2,
        "c": 1,
    }
    assert verify(part.path) == []


def test_a_part_is_the_same_bytes_every_time_and_grows(folder, inputs, tmp_path):
    for name in "pq":
        write_part(Corpus(folder), tmp_path / name, split="train")
    assert Corpus(tmp_path / "p").digest == Corpus(tmp_path / "q").digest
    add(tmp_path / "p", [inputs["c"]], samples=SAMPLES, group_samples=1)
    whole = Corpus(folder).manifest
    assert Corpus(tmp_path / "p").manifest["content_digest"] == whole["content_digest"]
    assert verify(tmp_path / "p") == []


def test_mistakes_leave_nothing_behind(folder, tmp_path):
    with pytest.raises(UserMistake, match="No cell"):
        write_part(Corpus(folder), tmp_path / "p", split="validation")
    assert list(tmp_path.iterdir()) == []
    own = shutil.copytree(folder, tmp_path / "c")
    with pytest.raises(UserMistake, match="write it elsewhere"):
        write_part(Corpus(own), own)


def test_the_commands_choose_remove_and_tell(folder, inputs, tmp_path):
    corpus = shutil.copytree(folder, tmp_path / "c")
    run("export", corpus, "--out", tmp_path / "x.h5ad", "--tissue", "lung", "--organism", "human")
    found = ad.read_h5ad(tmp_path / "x.h5ad")
    truth = read_counts(inputs["c"])
    cells = [name for name in found.obs_names if name.startswith("c:")]
    assert (found[cells, truth.var_names].layers["spliced"] != truth[cells].layers["spliced"]).nnz == 0
    (tmp_path / "cells.txt").write_text("a:BC00001\n\nb:BC00002\n")
    run("export", corpus, "--out", tmp_path / "p", "--cells", tmp_path / "cells.txt", "--as-corpus")
    assert Corpus(tmp_path / "p").manifest["cells"] == 2
    run("remove", corpus, "b", "c", "--because", "no consent", "--by", "ada")
    assert "Version 2 took b out (no consent)" in run("info", corpus)
    assert "study_" not in run("info", corpus, "--version", 1)
    run("replace", corpus, inputs["b"], "--because", "consent came", "--samples", table(tmp_path))
    assert "0 pairs among 3 samples" in run("duplicates", corpus, "--json", tmp_path / "d.json")
    assert "shards deleted" in run("prune", corpus)
    assert "is whole" in run("verify", corpus)


def table(folder):
    path = folder / "samples.tsv"
    path.write_text("sample\tstudy\torganism\nb\ts1\thuman\n")
    return path
