"""What the tables say is held against the reads; only what is sure contradicts."""

import pytest
from libraries import LISTS, REFERENCES, library, write

from velocorpus.reads.chemistry.contradiction import contradiction
from velocorpus.reads.chemistry.detect import detect, look_at
from velocorpus.reads.chemistry.roles import roles_in


def said_of(read1, read2, folder, **tables):
    """What contradicts the tables in a lane of these reads (codes)."""
    return said_of_lanes([[write(folder / f"{i}.fq.gz", x) for i, x in ((1, read1), (2, read2))]], **tables)


def said_of_lanes(lanes, *, chemistry="10xv3", organism="human", min_mapped=0.02, references=None):
    """The same of files."""
    references = REFERENCES if references is None else references
    looks = look_at(
        [x for lane in lanes for x in lane], list(LISTS.values()), references, n_reads=4000, window=20_000, seed=0
    )
    pairs = list(zip(looks[::2], looks[1::2], strict=True))
    verdict = detect(looks, [roles_in(pair) for pair in pairs])
    return contradiction(verdict, pairs, chemistry=chemistry, organism=organism, min_mapped=min_mapped)


@pytest.fixture(scope="module")
def v3():
    files = library("10xv3")
    return files["barcode"], files["cdna"]


def test_a_true_table_is_not_contradicted(v3, tmp_path):
    assert said_of(*v3, tmp_path) is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"chemistry": "10xv2"}, "the table says 10xv2, the reads are 10xv3"),
        ({"organism": "mouse"}, "the table says mouse, but the cDNA is of human"),
        ({"min_mapped": 0.99}, "of the cDNA reads match exons"),
    ],
)
def test_a_wrong_table_is_contradicted(wrong, said, v3, tmp_path):
    assert said in said_of(*v3, tmp_path, **wrong)


def test_swapped_reads_are_named(v3, tmp_path):
    assert "1.fq.gz holds cDNA and 2.fq.gz the barcodes" in said_of(*v3[::-1], tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda barcode, cdna: (cdna, cdna[::-1]), "1.fq.gz holds no barcodes of 10xv3"),
        (lambda barcode, cdna: (barcode, barcode), "only barcode reads are here"),
        (lambda barcode, cdna: (barcode[:, :26], cdna), "the reads were cut"),
        (lambda barcode, cdna: (3 - barcode[:, ::-1], cdna), "reverse-complemented"),
        (lambda barcode, cdna: (barcode, cdna[:-10]), "they are no pair, or one of them is cut"),
    ],
)
def test_files_that_no_quantifier_can_use_are_refused(change, said, v3, tmp_path):
    assert said in said_of(*change(*v3), tmp_path)


def test_an_unclear_strand_contradicts_nothing(tmp_path):
    files = library("10xv2")
    assert said_of(files["barcode"], files["cdna"], tmp_path, chemistry="10xv2_5p", references=[]) is None


def test_reads_of_the_first_chemistry_are_refused_for_want_of_their_umis(tmp_path):
    files = library("10xv1")
    assert "no file of its lane has the UMIs" in said_of(files["barcode"], files["cdna"], tmp_path, chemistry="10xv1")


def test_lanes_are_those_of_the_table_whatever_names_and_spots_say(v3, tmp_path):
    lanes = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        lanes.append([write(folder / f"{i}.fq.gz", codes) for i, codes in enumerate(v3)])
    assert said_of_lanes(lanes) is None
    assert "are swapped" in said_of_lanes([lanes[0], lanes[1][::-1]])
