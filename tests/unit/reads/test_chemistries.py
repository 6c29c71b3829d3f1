"""What quantifiers are told about a chemistry."""

import gzip

import pytest

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.reads.chemistries import CHEMISTRIES, QUANTIFIED, chemistry_of, list_name, write_whitelist


def test_the_tables_know_each_chemistry_and_what_it_lacks():
    assert set(CHEMISTRIES) == set(names.CHEMISTRIES)
    assert set(names.UMI_APART) == set(CHEMISTRIES) - set(QUANTIFIED)
    assert set(names.LIST_NOT_CARRIED) == {name for name, c in CHEMISTRIES.items() if not c.barcode_list}


def test_chemistries_of_one_strand_and_list_are_told_from_another():
    told_by = [(list_name(name), c.strand) for name, c in CHEMISTRIES.items()]
    assert len(set(told_by)) == len(told_by)


def test_reads_of_the_5_prime_end_are_on_the_reverse_strand():
    assert {c.strand for name, c in CHEMISTRIES.items() if name.endswith("_5p")} == {"reverse"}


def test_10x_v2_list_is_carried_whole(tmp_path):
    write_whitelist("10xv2", tmp_path / "list.txt")
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert (len(lines), lines[0]) == (737_280, "AAACCTGAGAAACCAT")


@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_a_given_list_is_copied_plain(tmp_path, pack):
    (tmp_path / "own").write_bytes(pack(b"ACGTACGTACGTACGT\nTTTTACGTACGTACGT\n"))
    write_whitelist("10xv3", tmp_path / "list.txt", tmp_path / "own")
    assert (tmp_path / "list.txt").read_text() == "ACGTACGTACGTACGT\nTTTTACGTACGTACGT\n"


@pytest.mark.parametrize("first", ["ACGTACGTACGTACGT-1", "ACGTACGTACGTAC", "barcode", ""])
def test_a_list_of_something_else_is_refused(tmp_path, first):
    (tmp_path / "own").write_text(f"{first}\n")
    with pytest.raises(UserMistake, match=f"begins with '{first}'"):
        write_whitelist("10xv3", tmp_path / "list.txt", tmp_path / "own")


def test_a_chemistry_without_a_carried_list_asks_for_the_samples_own(tmp_path):
    with pytest.raises(UserMistake, match="column 'whitelist'"):
        write_whitelist("10xv3_5p", tmp_path / "list.txt")


def test_an_unknown_chemistry_is_refused_with_the_known_ones():
    with pytest.raises(UserMistake, match="'10xv1' cannot be quantified here; known are 10xv2"):
        chemistry_of("10xv1")
