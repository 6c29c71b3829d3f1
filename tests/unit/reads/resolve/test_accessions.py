"""Which runs an accession stands for, as both archives answer, and in how many requests."""

from collections import Counter

import pytest
from archives import both, one, resolved

from velocorpus.errors import UserMistake
from velocorpus.reads.resolve.accessions import look_up
from velocorpus.reads.resolve.rows import Settings, tabulate


@pytest.mark.parametrize(
    ("asked", "runs"),
    [
        ("SRR9000001", ["SRR9000001"]),
        ("SRX9000001", ["SRR9000001", "SRR9000002"]),
        ("SRS9000001", ["SRR9000001", "SRR9000002"]),
        ("SAMN90000001", ["SRR9000001", "SRR9000002"]),
        ("GSM9000001", ["SRR9000001", "SRR9000002"]),
        ("GSE900001", ["SRR9000001", "SRR9000002", "SRR9000003", "SRR9000004"]),
        ("ERX9000012", ["ERR9000014"]),
        ("PRJEB90001", ["ERR9000014"]),
        ("ERP90001", ["ERR9000014"]),
    ],
)
def test_each_kind_of_accession_gives_its_runs_and_no_others(archives, asked, runs):
    found = look_up([asked], *both(archives))
    assert [run.run for run in found.runs] == runs
    assert not found.absent


def test_a_study_gives_every_run_that_either_archive_knows(archives):
    found = look_up(["PRJNA900001"], *both(archives))
    assert len(found.runs) == 17
    assert {run.run for run in found.runs} >= {"SRR9000015", "SRR9000016"}
    assert [run.run for run in look_up(["SRP900001"], *both(archives)).runs] == [run.run for run in found.runs]


def test_runs_that_only_ena_finds_by_a_project_have_their_read_lengths_all_the_same(archives):
    found = look_up(["PRJNA900000"], *both(archives))
    assert not found.absent
    assert {run.run: run.read_lengths for run in found.runs}["SRR9000006"] == (8, 26, 98)


def test_absent_accessions_have_a_sentence_each_and_the_others_are_resolved(archives):
    tables, absent = resolved(archives, "SRR9999999", "GSE900002", "GSE123", "GSM9000009", "SRX9000001")
    assert list(absent) == ["SRR9999999", "GSE900002", "GSE123", "GSM9000009"]
    assert absent["SRR9999999"].startswith("SRR9999999: neither archive has a run of it; check the number")
    assert "its 1 samples have no reads in SRA" in absent["GSE900002"]
    assert "GEO does not know it" in absent["GSE123"]
    assert [row["sample"] for row in tables.samples] == ["SRX9000001"]


def test_without_ncbi_a_pair_of_ena_is_taken_and_a_lone_file_left_to_sra(archives):
    found = look_up(["SRX9000001", "SRX9000002"], both(archives)[0], None)
    tables = tabulate(found.runs, Settings())
    assert {row["run"]: row["source"] for row in tables.runs}["SRR9000001"] == "ena_fastq"
    assert "read lengths are not known" in one(tables.runs, run="SRR9000003")["reason"]
    assert not [path for path, _ in archives.asked if path.startswith("ncbi")]


def test_geo_without_ncbi_is_refused(archives):
    with pytest.raises(UserMistake, match=r"GSM9000001 is GEO's, which only NCBI can resolve"):
        look_up(["GSM9000001"], both(archives)[0], None)


def test_lists_are_asked_for_in_batches_and_packages_page_by_page(archives, monkeypatch):
    monkeypatch.setattr("velocorpus.reads.resolve.ena.BATCH", 3)
    monkeypatch.setattr("velocorpus.reads.resolve.ncbi.BATCH", 5)
    monkeypatch.setattr("velocorpus.reads.resolve.ncbi.PAGE", 2)
    runs = [f"SRR90000{number:02}" for number in range(1, 13)]
    found = look_up(runs, *both(archives))
    assert [run.run for run in found.runs] == runs
    counts = Counter(path for path, _ in archives.asked)
    assert counts["ena/search"] == 4
    assert counts["ncbi/esearch.fcgi"] == 3
    assert counts["ncbi/efetch.fcgi"] == 6
    # Such lists are too long for an address.
    assert Counter(archives.posted) == {"ena/search": 4, "ncbi/esearch.fcgi": 3}


def test_a_whole_study_costs_few_requests(archives):
    look_up(["PRJNA900001"], *both(archives))
    assert Counter(path for path, _ in archives.asked) == {
        "ena/returnFields": 1,
        "ena/filereport": 1,
        "ncbi/esearch.fcgi": 1,
        "ncbi/efetch.fcgi": 1,
        "ena/search": 1,
    }
