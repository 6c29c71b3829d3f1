"""Organisms and tissues are held out by whole studies, and what is added later obeys."""

import pytest
from corpus_makers import MOUSE, make_corpus, make_counts

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.verify import verify
from velocorpus.errors import UserMistake
from velocorpus.splits import Splits, hold_out

SAMPLES = {
    "a": {"study": "s1", "organism": "human", "tissue": "blood"},
    "b": {"study": "s2", "organism": "human", "tissue": "lung"},
    "c": {"study": "s2", "organism": "human", "tissue": "blood"},
    "m": {"study": "s3", "organism": "mouse", "tissue": "blood"},
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    made = {s: make_counts(folder, s, seed=ord(s), n_cells=6) for s in "abcd"}
    return made | {"m": make_counts(folder, "m", n_cells=6, genes=MOUSE)}


def test_a_study_with_one_sample_of_a_held_out_tissue_goes_whole():
    splits = hold_out(Splits(), ["test:tissue=lung", "validation:organism=mouse"], SAMPLES)
    assert splits == Splits(validation=("s3",), test=("s2",))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("lung", "holds nothing out"),
        ("train:tissue=lung", "holds nothing out"),
        ("test:colour=red", "holds nothing out"),
        ("test:tissue=lungs", "meets no sample; .* blood, lung"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rule, message):
    with pytest.raises(UserMistake, match=message):
        hold_out(Splits(), [rule], SAMPLES)


def test_a_study_that_two_splits_claim_is_refused():
    with pytest.raises(UserMistake, match="both"):
        hold_out(Splits(validation=("s2",)), ["test:tissue=lung"], SAMPLES)


def test_what_is_added_later_obeys_the_rules_of_the_corpus(tmp_path, inputs):
    given = [inputs[s] for s in SAMPLES]
    folder = make_corpus(tmp_path / "c", given, samples=SAMPLES, hold_out=["test:tissue=lung"])
    assert set(Corpus(folder).read("test").obs["sample"].to_pylist()) == {"b", "c"}
    late = {"d": {"study": "s1", "organism": "human", "tissue": "lung"}}
    with pytest.raises(UserMistake, match="s1 is in the split 'train' of the corpus and must stay"):
        add(folder, [inputs["d"]], samples=late, group_samples=1)
    add(folder, [inputs["d"]], samples={"d": late["d"] | {"study": "s4"}}, group_samples=1)
    corpus = Corpus(folder)
    assert set(corpus.read("test").obs["sample"].to_pylist()) == {"b", "c", "d"}
    assert (corpus.manifest["hold_out"], corpus.manifest["splits"]["test"]) == (["test:tissue=lung"], ["s2", "s4"])
    assert verify(folder) == []


def test_an_organism_that_the_genes_tell_is_held_out_without_a_table(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", [inputs["a"], inputs["m"]], hold_out=["test:organism=mouse"])
    assert set(Corpus(folder).read("test").obs["sample"].to_pylist()) == {"m"}
