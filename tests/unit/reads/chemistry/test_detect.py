"""The chemistry of reads is told right, or said to be unclear; never wrong with confidence."""

import pytest
from libraries import HUMAN, LISTS, REFERENCES, RNG, library, verdict_of, verdict_on, write

from velocorpus.reads.chemistry.verdict import NOT_10X
from velocorpus.simulate.libraries import OTHERS, TENX


@pytest.mark.parametrize("kind", TENX)
@pytest.mark.parametrize("error", [0, 0.05])
def test_each_chemistry_is_told_whatever_its_files_are_called(kind, error, tmp_path):
    found = verdict_of(kind, tmp_path, error=error)
    assert (found.state, found.chemistry, found.organism) == ("confident", kind, "human"), found.reasons


@pytest.mark.parametrize("kind", [kind for kind in OTHERS if kind != "unlisted"])
def test_what_is_no_10x_gene_expression_is_told(kind, tmp_path):
    found = verdict_of(kind, tmp_path)
    assert (found.state, found.chemistry) == ("confident", NOT_10X), found.reasons


@pytest.mark.parametrize("kind", ["unlisted", "10xv3_5p"])
def test_barcodes_of_a_list_that_is_not_at_hand_stay_unclear(kind, tmp_path):
    lists = {name: one for name, one in LISTS.items() if name != kind}
    found = verdict_of(kind, tmp_path, lists=lists)
    assert found.state == "unclear"
    assert "--whitelist" in found.reasons[0]


def test_without_a_reference_the_strand_of_v2_beads_stays_unclear(tmp_path):
    found = verdict_of("10xv2", tmp_path, references=[])
    assert (found.state, set(found.candidates)) == ("unclear", {"10xv2", "10xv2_5p"})


@pytest.mark.parametrize("kind", ["10xv2", "10xv2_5p"])
def test_a_long_read_1_tells_the_strand_without_a_reference(kind, tmp_path):
    found = verdict_of(kind, tmp_path, references=[], read1_len=60)
    assert (found.state, found.chemistry) == ("confident", kind)


def test_a_reference_of_another_species_alone_names_no_species(tmp_path):
    assert verdict_of("10xv3", tmp_path, references=REFERENCES[1:]).organism is None


@pytest.mark.parametrize(
    ("without", "said"),
    [(("barcode",), "--include-technical"), (("barcode", "index"), "--include-technical"), (("cdna",), "only barcode")],
)
def test_missing_reads_are_said_with_what_to_fetch(without, said, tmp_path):
    found = verdict_of("10xv3", tmp_path, without=without)
    assert found.state == "unclear"
    assert said in found.reasons[0]


def test_umis_of_the_first_chemistry_that_are_missing_are_said(tmp_path):
    found = verdict_of("10xv1", tmp_path, without=("umi",))
    assert (found.state, found.candidates) == ("unclear", ("10xv1",))
    assert "UMI" in found.reasons[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda codes: codes[:, :26], "were cut"),
        (lambda codes: 3 - codes[:, ::-1], "reverse-complemented"),
        (lambda codes: codes[:, [0, 1, 2, *range(codes.shape[1])]], "begin at base 4"),
    ],
)
def test_barcodes_at_another_place_are_found_and_refused(change, said, tmp_path):
    files = library("10xv3")
    found = verdict_on(
        [write(tmp_path / "a.fq.gz", change(files["barcode"])), write(tmp_path / "b.fq.gz", files["cdna"])]
    )
    assert found.state == "unclear"
    assert said in found.reasons[0]


@pytest.mark.parametrize("length", [28, 91])
def test_a_second_barcode_read_is_no_cdna(length, tmp_path):
    barcode = library("10xv3", read1_len=length)["barcode"]
    found = verdict_on([write(tmp_path / f"s_R{i}.fq.gz", barcode) for i in (1, 2)], references=[])
    assert (found.state, found.unusable) == ("unclear", True)
    assert "only barcode reads" in found.reasons[0] or "barcode and cDNA in one read" in found.reasons[0]


def test_few_matches_on_both_strands_are_no_full_length_library(tmp_path):
    files = library("smart_seq2", 4000)
    for codes in files.values():
        codes[600:] = RNG.integers(0, 4, (len(codes) - 600, codes.shape[1]))
    found = verdict_on([write(tmp_path / f"{role}.fq.gz", codes) for role, codes in files.items()])
    assert found.state == "unclear"


def test_lanes_of_two_chemistries_are_unclear(tmp_path):
    paths = []
    for kind in ("10xv2", "10xv3"):
        files = library(kind)
        paths += [write(tmp_path / f"{kind}_{role}.fq.gz", files[role], run=kind) for role in ("barcode", "cdna")]
    assert verdict_on(paths).state == "unclear"


def test_a_lane_of_two_chemistries_is_unclear(tmp_path):
    one, other = library("10xv4"), library("10xv3_5p")
    barcodes = one["barcode"]
    barcodes[: len(barcodes) // 2] = other["barcode"][: len(barcodes) // 2]
    found = verdict_on([write(tmp_path / "a.fq.gz", barcodes), write(tmp_path / "b.fq.gz", one["cdna"])])
    assert (found.state, set(found.candidates)) == ("unclear", {"10xv4", "10xv3_5p"})


def test_an_amplicon_whose_beginning_is_listed_is_no_barcode_read(tmp_path):
    files = library("10xv3")
    amplicon = files["barcode"].copy()
    amplicon[:] = amplicon[0]
    found = verdict_on([write(tmp_path / "a.fq.gz", amplicon), write(tmp_path / "b.fq.gz", files["cdna"])])
    assert found.state == "unclear"


def test_the_evidence_is_json_without_folders(tmp_path):
    import json

    text = json.dumps(verdict_of("10xv3", tmp_path).as_json())
    assert str(tmp_path) not in text
    assert HUMAN.name in text
