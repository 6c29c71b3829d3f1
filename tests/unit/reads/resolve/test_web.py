"""Archives are asked politely, and again when an answer broke; a refusal is a sentence."""

import json

import pytest
from archives import Archives, both

from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.resolve.accessions import look_up, services
from velocorpus.reads.resolve.web import Service


def test_a_field_that_ena_has_no_more_is_not_asked_for(archives, monkeypatch):
    known = Archives.ena_returnFields
    monkeypatch.setattr(Archives, "ena_returnFields", lambda *_: known(*_).replace("tissue_type", "tissue_kind"))
    assert look_up(["SRR9000001"], *both(archives)).runs[0].tissue == "blood"
    assert "tissue_type" not in dict(archives.asked)["ena/search"]["fields"]


def test_a_needed_field_that_ena_has_no_more_is_refused_by_name(archives, monkeypatch):
    monkeypatch.setattr(Archives, "ena_returnFields", lambda *_: json.dumps([{"columnId": "run_accession"}]))
    with pytest.raises(UserMistake, match="has no field experiment_accession of read_run any more"):
        look_up(["SRR9000001"], *both(archives))


BROKEN = [
    429,
    503,
    500,
    "cut",
    "<html>busy</html>",
    '{"esearchresult": {"count": "0", "ERROR": "Search Backend failed"}}',
    "{}",
]


@pytest.mark.parametrize("mood", BROKEN)
def test_an_answer_that_broke_is_asked_for_again(archives, mood):
    well = look_up(["GSE900001", "SRX9000004"], *both(archives))
    for request in range(len(archives.asked)):
        archives.moods = [None] * request + [mood]
        assert look_up(["GSE900001", "SRX9000004"], *both(archives)) == well
        assert not archives.moods


def test_an_archive_that_says_when_to_come_back_is_waited_for(archives, monkeypatch):
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)
    archives.moods, archives.retry_after = [429], "7"
    look_up(["SRR9000001"], *both(archives))
    assert waited.count(7) == 1


def test_an_archive_that_keeps_failing_is_a_sentence(archives):
    archives.moods = [503] * 9
    ena, ncbi = both(archives)
    ena.retries = 2
    with pytest.raises(TryLater, match=r"did not answer in 3 tries \(status 503\); nothing was written"):
        look_up(["SRR9000001"], ena, ncbi)


def test_a_refused_request_is_not_repeated_and_says_what_the_archive_said(archives):
    archives.moods = [400]
    with pytest.raises(UserMistake, match=r"ena/returnFields was refused with status 400: \[\{"):
        look_up(["SRR9000001"], *both(archives))
    assert len(archives.asked) == 1


@pytest.mark.parametrize("answer", [404, (400, '{"message": "Invalid accession provided"}')])
def test_a_study_that_ena_cannot_place_is_absent_and_the_others_are_resolved(archives, answer):
    archives.moods = [None, answer]
    found = look_up(["PRJNA999999", "SRX9000001"], *both(archives))
    assert list(found.absent) == ["PRJNA999999"]
    assert len(found.runs) == 2


def test_another_refusal_of_ena_ends_the_call(archives):
    archives.moods = [None, (400, '{"message": "Invalid field(s) supplied: tissue_type"}')]
    with pytest.raises(UserMistake, match=r"ena/filereport was refused with status 400: .*Invalid field"):
        look_up(["PRJNA900001"], *both(archives))


def test_a_host_that_is_not_there_is_a_sentence():
    nowhere = Service("http://127.0.0.1:9", per_second=100, retries=1, wait_s=0.01)
    with pytest.raises(UserMistake, match=r"did not answer in 2 tries \(ConnectError"):
        look_up(["SRR1"], nowhere, None)


def test_an_address_that_is_none_is_refused_at_once():
    with pytest.raises(UserMistake, match="eutils is not an address"):
        look_up(["SRR1"], Service("eutils", per_second=100), None)


def test_ncbi_is_asked_at_most_three_times_a_second_and_told_who_asks(archives, monkeypatch):
    waited = []
    monkeypatch.setattr("velocorpus.reads.resolve.web.time.sleep", waited.append)
    _, ncbi = services(f"{archives.url}/ena", f"{archives.url}/ncbi")
    for _ in range(3):
        ncbi.ask("esearch.fcgi", {"db": "gds", "term": "GSE1[ACCN]"}, json.loads)
    assert waited[0] == 0
    assert all(0 < wait <= 1 / 2.9 for wait in waited[1:])
    assert ncbi.spacing_s >= 1 / 3
    assert archives.asked[0][1]["tool"] == "velocorpus"


def test_a_key_of_ones_own_allows_ten_requests_a_second(archives, monkeypatch):
    monkeypatch.setenv("NCBI_API_KEY", "k1")
    ena, ncbi = services(f"{archives.url}/ena", f"{archives.url}/ncbi")
    assert ncbi.always["api_key"] == "k1"
    assert 1 / 10 <= ncbi.spacing_s < 1 / 8
    assert not ena.always
