"""Files get their roles and lanes by what is in them, whatever they are called."""

import numpy as np
import pytest
from libraries import LISTS, REFERENCES, library, write

from velocorpus.reads.chemistry.barcode_lists import Place
from velocorpus.reads.chemistry.detect import look_at
from velocorpus.reads.chemistry.look import Share, capped_share
from velocorpus.reads.chemistry.roles import lane_stem, lanes_of
from velocorpus.reads.chemistry.sampling import ReadSample


def lanes(paths):
    return lanes_of(look_at(paths, list(LISTS.values()), REFERENCES, n_reads=2000, window=20_000, seed=0))


CONVENTIONS = {
    "illumina": {"barcode": "s_S1_L001_R1_001", "cdna": "s_S1_L001_R2_001", "index": "s_S1_L001_I1_001"},
    "archive": {"index": "SRR1_1", "barcode": "SRR1_2", "cdna": "SRR1_3"},
    "reversed": {"index": "SRR1_3", "barcode": "SRR1_2", "cdna": "SRR1_1"},
    "misnamed": {"cdna": "s_S1_L001_I1_001", "index": "s_S1_L001_R1_001", "barcode": "s_S1_L001_R2_001"},
}


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_roles_do_not_depend_on_names(convention, tmp_path):
    files, named = library("10xv3"), CONVENTIONS[convention]
    (lane,) = lanes([write(tmp_path / f"{name}.fastq.gz", files[role]) for role, name in named.items()])
    assert lane.as_json() == {
        "barcode": f"{named['barcode']}.fastq.gz",
        "cdna": [f"{named['cdna']}.fastq.gz"],
        "index": [f"{named['index']}.fastq.gz"],
        "umi": None,
        "others": [],
    }


def test_reads_of_one_length_are_told_apart(tmp_path):
    files = library("10xv3", read1_len=91)
    (lane,) = lanes([write(tmp_path / f"{role}.fq.gz", files[role]) for role in ("cdna", "barcode")])
    assert (lane.barcode.name, [x.name for x in lane.cdna]) == ("barcode.fq.gz", ["cdna.fq.gz"])


def test_the_first_chemistry_has_its_umis_in_a_file_of_their_own(tmp_path):
    files = library("10xv1")
    (lane,) = lanes([write(tmp_path / f"{role}.fq.gz", codes) for role, codes in files.items()])
    assert (lane.barcode.name, lane.umi.name, lane.index[0].name) == ("barcode.fq.gz", "umi.fq.gz", "index.fq.gz")


@pytest.mark.parametrize("spots", [("a", "b"), ("", "")])
def test_lanes_are_told_by_spots_or_else_by_file_names(spots, tmp_path):
    paths = []
    for number, spot in enumerate(spots, 1):
        files = library("10xv3", seed=number)
        paths += [
            write(tmp_path / f"x_L00{number}_R{read}_001.fastq.gz", files[role], run=spot)
            for read, role in ((1, "cdna"), (2, "barcode"))
        ]
    found = sorted((lane.barcode.name, lane.cdna[0].name) for lane in lanes(paths[::-1]))
    assert found == [(f"x_L00{n}_R2_001.fastq.gz", f"x_L00{n}_R1_001.fastq.gz") for n in (1, 2)]


def test_two_reads_that_take_turns_in_one_file_are_seen(tmp_path):
    files = library("10xv1")
    path = tmp_path / "read-RA.fastq"
    with path.open("w") as out:
        for i, (cdna, umi) in enumerate(zip(files["cdna"], files["umi"], strict=True)):
            for codes in (cdna, umi):
                read = "".join("ACGT"[base] for base in codes)
                out.write(f"@r{i}\n{read}\n+\n{'F' * len(read)}\n")
    (lane,) = lanes([path, write(tmp_path / "read-I1.fq.gz", files["barcode"], run="r")])[:1]
    assert any(look.alternating for look in lane.files)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("s_S1_L001_R1_001.fastq.gz", "s_S1_L001_R2_001.fastq.gz"),
        ("SRR1_1.fastq", "SRR1_3.fastq"),
        ("read-RA_si-ACGT_lane-001.fastq.gz", "read-I1_si-ACGT_lane-001.fastq.gz"),
        ("a.R1.fq.gz", "a.I2.fq.gz"),
    ],
)
def test_files_of_a_lane_have_one_stem(one, other):
    assert lane_stem(one) == lane_stem(other)


def test_lanes_have_stems_of_their_own():
    assert lane_stem("s_S1_L001_R1_001.fastq.gz") != lane_stem("s_S1_L002_R1_001.fastq.gz")


def test_bounds_hold_the_share_and_narrow():
    few, many = Share(5, 10), Share(5000, 10_000)
    assert few.low < many.low < 0.5 < many.high < few.high
    assert (Share(0, 0).low, Share(0, 0).high) == (0.0, 1.0)


def test_nearly_every_bound_of_many_draws_holds_the_truth():
    draws = np.random.default_rng(0).binomial(300, 0.3, 2000)
    assert np.mean([Share(int(k), 300).low <= 0.3 <= Share(int(k), 300).high for k in draws]) > 0.99


def test_one_barcode_counts_for_no_more_than_a_fiftieth_of_the_reads():
    codes = library("10xv3", 1000, error=0)["barcode"]
    codes[:900] = codes[0]
    codes[900:, :16] = 0
    sample = ReadSample("x", codes, np.full(1000, 28), 1000, "")
    share = capped_share(sample, LISTS["10xv3"], Place())
    assert (share.hits, share.n) == (20, 120)
