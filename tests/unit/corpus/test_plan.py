import pytest

from velocorpus.corpus.plan import Splits, describe, groups, read_samples
from velocorpus.errors import UserMistake


def test_a_sample_added_below_changes_only_the_last_group():
    assert groups("abcde", 2) == {"g00000": ("a", "b"), "g00001": ("c", "d"), "g00002": ("e",)}
    assert groups("abcdef", 2)["g00001"] == groups("abcde", 2)["g00001"]


def test_a_study_for_two_splits_is_refused():
    with pytest.raises(UserMistake, match="both"):
        Splits(("s",), ("s",))


def test_samples_tsv_gives_only_what_belongs_into_the_corpus(tmp_path):
    path = tmp_path / "samples.tsv"
    path.write_text("# note\nsample\tstudy\torganism\twhitelist\ttissue\na\ts\thuman\t/my/list\t\n")
    assert read_samples(path) == {"a": {"study": "s", "organism": "human"}}


def test_samples_tsv_without_samples_is_refused(tmp_path):
    (tmp_path / "t.tsv").write_text("name\tstudy\na\ts\n")
    with pytest.raises(UserMistake, match="no column 'sample'"):
        read_samples(tmp_path / "t.tsv")


def test_the_table_comes_before_what_the_counts_say_of_themselves():
    source = {"study": "old", "chemistry": "10x_v3", "anything": 1}
    known = describe("a", source, [], {"a": {"study": "new", "organism": "mouse"}})
    assert known == {"study": "new", "chemistry": "10x_v3", "organism": "mouse"}


def test_ensembl_ids_say_the_organism():
    assert describe("a", {}, ["ENSMUSG00000000001"], {})["organism"] == "mouse"


@pytest.mark.parametrize("genes", [["ACTB"], ["ENSMUSG00000000001", "ENSG00000000001"]])
def test_an_organism_that_the_genes_do_not_say_is_asked_for(genes):
    with pytest.raises(UserMistake, match="give it in samples"):
        describe("a", {}, genes, {})
