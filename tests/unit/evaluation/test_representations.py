import anndata as ad
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from velocorpus.corpus.reader import Cells
from velocorpus.errors import UserMistake
from velocorpus.evaluation.representations import read_representations, write_representations

VALUES = np.arange(8.0).reshape(4, 2)


def cells(*ids, study="s"):
    return Cells(
        pa.table({"cell_id": ids, "study": [study] * len(ids), "cell_type": ["t", *[None] * (len(ids) - 1)]}), {}
    )


def given(folder, name="file.h5ad", **obsm):
    path = folder / name
    ad.AnnData(obs=pd.DataFrame(index=list("abcd")), obsm=obsm).write_h5ad(path)
    return path


def test_each_array_is_a_row_whose_values_are_found_by_the_cells_names(tmp_path):
    path = given(tmp_path, one=VALUES, two=pd.DataFrame(VALUES * 2, columns=["x", "y"], index=list("abcd")))
    one, two = read_representations([f"scVI={path}"])
    assert (one.name, two.name) == ("scVI: one", "scVI: two")
    assert one.of(cells("c", "a")).tolist() == [[4, 5], [0, 1]]
    assert two.of(cells("d")).tolist() == [[12, 14]]


def test_what_was_written_is_read_back(tmp_path):
    studies = {"s": cells("a", "b"), "u": cells("c", study="u")}
    write_representations(tmp_path / "out.h5ad", {"ours: x": [VALUES[:2], VALUES[2:3]]}, studies)
    (read,) = read_representations([f"m={tmp_path / 'out.h5ad'}"])
    assert read.name == "m: ours: x"
    assert read.of(cells("c", "b", "a")).tolist() == VALUES[[2, 1, 0]].tolist()
    obs = ad.read_h5ad(tmp_path / "out.h5ad").obs
    assert obs["study"].tolist() == ["s", "s", "u"]
    assert obs["cell_type"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("abx", r"lacks 1 of the 3 judged cells .*first: x"),
        ("ab", r"scVI: one .* not a finite number for 1 .*first: b"),
    ],
    ids=["absent", "not finite"],
)
def test_judged_cells_that_are_not_there_are_refused_and_no_others(tmp_path, asked, words):
    values = VALUES.copy()
    values[1, 1] = np.nan
    (one,) = read_representations([f"scVI={given(tmp_path, one=values)}"])
    assert one.of(cells("a", "c")).tolist() == [[0, 1], [4, 5]]
    with pytest.raises(UserMistake, match=words):
        one.of(cells(*asked))


@pytest.mark.parametrize(
    ("obsm", "words"),
    [
        ({}, "has no obsm"),
        ({"one": np.zeros((4, 2, 2))}, "obsm\\['one'\\] of .* not numbers of cells by dimensions"),
        ({"one": np.zeros((4, 0))}, "obsm\\['one'\\] of .* not numbers of cells by dimensions"),
        ({"one": pd.DataFrame({"word": list("wxyz")}, index=list("abcd"))}, "obsm\\['one'\\] of .* not numbers"),
    ],
    ids=["none", "three axes", "no dimension", "words"],
)
def test_files_without_a_matrix_of_numbers_are_refused(tmp_path, obsm, words):
    with pytest.raises(UserMistake, match=words):
        read_representations([f"scVI={given(tmp_path, **obsm)}"])


@pytest.mark.parametrize("word", ["cells.h5ad", "=cells.h5ad", "scVI=", "a/b=cells.h5ad"])
def test_words_that_are_not_a_name_and_a_file_are_refused(word):
    with pytest.raises(UserMistake, match=r"NAME=cells\.h5ad"):
        read_representations([word])


def test_a_name_of_two_files_is_refused(tmp_path):
    path = given(tmp_path, one=VALUES)
    with pytest.raises(UserMistake, match="Two representations are called 'scVI: one'"):
        read_representations([f"scVI={path}"] * 2)
