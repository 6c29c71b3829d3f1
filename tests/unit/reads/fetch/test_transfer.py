"""Bytes come in ranges, go on where they broke, and are never those of another file."""

import gzip
import re
import shutil
from collections import deque, namedtuple

import pytest
from fetching import CONTENT, MD5, PART, RECORD, files_in, get, ranges
from tests.drills import misbehaving as bad

from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch import parts, transfer
from velocorpus.reads.fetch.file import addresses


@pytest.fixture
def noted(monkeypatch):
    """Notes after each chunk, as small files need."""
    monkeypatch.setattr(parts, "NOTE_S", 0.0)


def test_a_file_comes_whole_and_leaves_nothing_beside_it(url, tmp_path):
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert files_in(tmp_path) == ["a.gz"]


def test_a_file_comes_in_ranges_of_one_part_each(site, url, tmp_path):
    get(url, tmp_path / "a.gz", parallel=3)
    n_parts = -(-len(CONTENT) // PART)
    spans = [f"bytes={i * PART}-{min((i + 1) * PART, len(CONTENT)) - 1}" for i in range(n_parts)]
    assert n_parts > 3
    assert sorted(ranges(site)) == sorted(["bytes=0-0", *spans])


def test_a_transfer_that_drops_goes_on_where_it_broke(site, url, tmp_path):
    site.faults = deque([None, lambda reply, rng: bad.replace(reply, cut=7777)])
    assert get(url, tmp_path / "a.gz", md5=MD5, parallel=1) == CONTENT
    assert ranges(site)[1:4] == [f"bytes=0-{PART - 1}", "bytes=0-0", f"bytes=7777-{PART - 1}"]


def test_a_server_without_ranges_is_read_in_one_go(site, tmp_path):
    url = site.keep("reads.fastq.gz", CONTENT, ranges=False)
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert ranges(site) == ["bytes=0-0", None]


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_bytes_of_no_known_version_are_not_resumed_from(site, tmp_path, etag):
    url = site.keep("reads.fastq.gz", CONTENT, etag=etag)
    site.faults = deque([None, bad.drop])
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert ranges(site) == ["bytes=0-0", None, "bytes=0-0", None]


def test_a_date_is_a_version_too(site, noted, tmp_path):
    url = site.keep("reads.fastq.gz", CONTENT, etag="", modified="Sun, 01 Nov 2026 10:00:00 GMT")
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert site.asked[-1]["if-range"] == "Sun, 01 Nov 2026 10:00:00 GMT"


def test_a_number_sign_is_part_of_a_name(site, tmp_path):
    site.keep("24013_5%236.gz", CONTENT)
    assert get(f"{site.address}/24013_5#6.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_a_new_run_goes_on_from_what_the_last_one_left(site, url, tmp_path):
    site.faults = deque([None, None, None, bad.drop])
    with pytest.raises(TryLater, match=r"in 1 tries .*; run again later to go on"):
        get(url, tmp_path / "a.gz", retries=0, parallel=1)
    assert files_in(tmp_path) == ["a.gz.part", "a.gz.part.json"]
    site.asked.clear()
    assert get(url, tmp_path / "a.gz", md5=MD5, parallel=1) == CONTENT
    assert f"bytes=0-{PART - 1}" not in ranges(site)


def test_bytes_of_another_version_are_not_resumed_from(site, url, tmp_path):
    site.faults = deque([None, None, bad.drop])
    with pytest.raises(TryLater):
        get(url, tmp_path / "a.gz", retries=0, parallel=1)
    other = gzip.compress(RECORD[::-1] * 3000, mtime=0, compresslevel=0)
    assert len(other) == len(CONTENT)
    site.keep(
        "reads.fastq.gz", gzip.compress(RECORD.replace(b"A", b"T") * 3000, mtime=0, compresslevel=0), etag='"two"'
    )
    assert get(url, tmp_path / "a.gz") == site.files["/reads.fastq.gz"].content


def test_bytes_of_another_address_are_not_resumed_from(site, url, tmp_path):
    site.faults = deque([None, None, bad.drop])
    with pytest.raises(TryLater):
        get(url, tmp_path / "a.gz", retries=0, parallel=1)
    site.asked.clear()
    assert get(site.keep("copy.fastq.gz", CONTENT), tmp_path / "a.gz", parallel=1) == CONTENT
    assert f"bytes=0-{PART - 1}" in ranges(site)


def test_a_host_whose_every_answer_has_another_version_is_read_in_one_go(site, url, tmp_path):
    def flap(reply, rng):
        return bad.replace(reply, headers=reply.headers | {"ETag": f'"{rng.random()}"'})

    site.faults = deque([flap] * 99)
    assert get(url, tmp_path / "a.gz") == CONTENT
    assert ranges(site)[-1] is None


def test_a_broken_note_is_no_note(site, url, tmp_path):
    (tmp_path / "a.gz.part").write_bytes(b"x" * len(CONTENT))
    (tmp_path / "a.gz.part.json").write_text('{"identity": [')
    assert get(url, tmp_path / "a.gz") == CONTENT


def test_a_link_in_the_place_of_the_part_is_not_followed(url, tmp_path):
    (tmp_path / "precious").write_bytes(b"x" * len(CONTENT))
    (tmp_path / "a.gz.part").symlink_to(tmp_path / "precious")
    assert get(url, tmp_path / "a.gz") == CONTENT
    assert (tmp_path / "precious").read_bytes() == b"x" * len(CONTENT)


def test_a_file_system_without_locks_is_no_obstacle(url, tmp_path, monkeypatch):
    def refuse(handle, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(parts.fcntl, "flock", refuse)
    assert get(url, tmp_path / "a.gz") == CONTENT


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(site, url, tmp_path, status):
    site.faults = deque([bad.status(status), None, bad.status(status)])
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT


def test_a_server_that_asks_to_wait_is_waited_for(site, url, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(transfer.time, "sleep", waits.append)
    site.faults = deque([bad.status(429, Retry_After="7")])
    get(url, tmp_path / "a.gz")
    assert 7.0 in waits


def test_a_host_that_takes_few_connections_is_asked_by_fewer(site, url, tmp_path):
    site.allowed, site.slow_s = 1, 0.02
    assert get(url, tmp_path / "a.gz", parallel=4, retries=2) == CONTENT
    assert site.most_open > 1


def test_no_more_connections_are_open_than_allowed(site, url, tmp_path):
    site.slow_s = 0.02
    get(url, tmp_path / "a.gz", parallel=3)
    assert 1 < site.most_open <= 3


def test_tries_that_bring_a_part_each_are_not_counted(site, url, tmp_path):
    site.faults = deque([None, None, None, bad.drop] * 2)
    assert get(url, tmp_path / "a.gz", parallel=1, retries=1) == CONTENT


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_and_said(site, url, tmp_path, status):
    site.faults = deque([bad.status(status)])
    with pytest.raises(UserMistake, match=f"was refused with status {status}") as mistake:
        get(url, tmp_path / "a.gz")
    assert not isinstance(mistake.value, TryLater)
    assert len(site.asked) == 1
    assert files_in(tmp_path) == []


def test_a_connection_that_falls_silent_is_broken(site, url, tmp_path):
    site.faults = deque([None, bad.stall(2.0)])
    assert get(url, tmp_path / "a.gz", timeout_s=0.2) == CONTENT


def test_a_connection_that_all_but_stalls_is_broken(site, url, tmp_path):
    site.faults = deque([None, bad.trickle(0.05)])
    assert get(url, tmp_path / "a.gz", timeout_s=0.3) == CONTENT


def test_a_server_that_is_not_there_is_said_after_the_tries(tmp_path):
    with pytest.raises(TryLater, match=r"could not be fetched in 2 tries \(ConnectError"):
        get("http://127.0.0.1:9/a.gz", tmp_path / "a.gz", retries=1)


def test_a_byte_that_changed_on_the_way_is_fetched_again(site, url, tmp_path):
    site.faults = deque([None, bad.wrong_byte])
    assert get(url, tmp_path / "a.gz", md5=MD5) == CONTENT


def test_a_disk_without_room_is_said_with_numbers_before_it_is_filled(site, url, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1234, 1234))
    with pytest.raises(TryLater, match=r"has 1.23 kB free, but of a.gz 90 kB of 90 kB are still to come; make room"):
        get(url, tmp_path / "a.gz")
    assert len(site.asked) == 1


def test_mirrors_are_asked_in_their_order_and_the_source_last():
    mirrors = (("https://a/", "https://b/x/"), ("s3://a/", "s3://b/"), ("https://a/", "https://c/"))
    assert addresses("https://a/1.gz", mirrors) == ["https://b/x/1.gz", "https://c/1.gz", "https://a/1.gz"]


def test_a_mirror_that_lacks_the_file_leaves_it_to_the_next(site, tmp_path):
    site.keep("b/a.gz", CONTENT)
    mirrors = [["https://far/", f"{site.address}/a/"], ["https://far/", f"{site.address}/b/"]]
    assert get("https://far/a.gz", tmp_path / "a.gz", md5=MD5, mirrors=mirrors) == CONTENT


def test_a_proxy_is_asked_instead_of_the_host(site, tmp_path):
    site.files["http://far.invalid/a.gz"] = bad.Kept(CONTENT)
    assert get("http://far.invalid/a.gz", tmp_path / "a.gz", proxy=site.address) == CONTENT


def test_progress_is_said_with_bytes_and_rate(url, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(parts, "PROGRESS_S", 0.0)
    get(url, tmp_path / "a.gz")
    assert re.search(r"^a\.gz: 90 kB of 90 kB \(100%\), .*B/s, 0 min left$", capsys.readouterr().err, re.MULTILINE)
