"""A file is fetched whole and verified, or it is absent with a reason."""

import gzip
import hashlib
import json
import re
import shutil
from collections import deque, namedtuple

import boto3
import pytest
from moto import mock_aws
from tests.drills import misbehaving as bad

from velocorpus.config import FetchConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch import parts, transfer
from velocorpus.reads.fetch.file import addresses, fetch

RECORD = b"@read\nACGTACGTAC\n+\nFFFFFFFFFF\n"
CONTENT = gzip.compress(RECORD * 3000, mtime=0, compresslevel=0)
MD5 = hashlib.md5(CONTENT).hexdigest()
PART = 20_000
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@pytest.fixture
def site():
    site = bad.Site()
    yield site
    site.close()


@pytest.fixture
def url(site):
    return site.keep("reads.fastq.gz", CONTENT)


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="reads")
        client.put_object(Bucket="reads", Key="a.fastq.gz", Body=CONTENT)
        yield client


@pytest.fixture
def noted(monkeypatch):
    """Notes after each chunk, as small files need."""
    monkeypatch.setattr(parts, "NOTE_S", 0.0)


def get(source, out, *, md5=None, size=None, **how):
    fetch(str(source), out, md5=md5, size=size, how=FetchConfig(**how), wait_s=0.001, part_bytes=PART)
    return out.read_bytes()


def files_in(folder):
    return sorted(file.name for file in folder.iterdir())


def ranges(site):
    return [asked.get("range") for asked in site.asked]


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


def test_a_wrong_md5_is_refused_and_nothing_stays(url, tmp_path):
    with pytest.raises(UserMistake, match=f"has MD5 {MD5}, the table says {'0' * 32}"):
        get(url, tmp_path / "a.gz", md5="0" * 32)
    assert files_in(tmp_path) == []


def test_a_length_that_is_not_the_tables_is_refused_before_it_is_fetched(site, url, tmp_path):
    with pytest.raises(UserMistake, match=f"has {len(CONTENT):,} bytes, the table says 99"):
        get(url, tmp_path / "a.gz", size=99)
    assert len(site.asked) == 1
    assert files_in(tmp_path) == []


def test_a_disk_without_room_is_said_with_numbers_before_it_is_filled(site, url, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1234, 1234))
    with pytest.raises(TryLater, match=r"has 1.23 kB free, but of a.gz 90 kB of 90 kB are still to come; make room"):
        get(url, tmp_path / "a.gz")
    assert len(site.asked) == 1


def test_a_gzip_file_that_was_cut_at_its_source_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is cut short"):
        get(site.keep("a.fastq.gz", CONTENT[:-100]), tmp_path / "a.gz")
    assert files_in(tmp_path) == []


def test_damage_inside_a_gzip_file_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.keep("a.fastq.gz", CONTENT[:5000] + b"\x00" + CONTENT[5001:]), tmp_path / "a.gz")


def test_reads_that_end_within_a_record_are_refused(site, tmp_path):
    cut_between_streams = gzip.compress(RECORD * 9 + b"@read\nACGT\n")
    with pytest.raises(UserMistake, match="its 38 lines are not four to a read"):
        get(site.keep("a.fastq.gz", cut_between_streams), tmp_path / "a.fastq.gz")


def test_a_bam_without_its_end_mark_is_refused(site, tmp_path):
    block = gzip.compress(b"BAM")
    assert get(site.keep("a.bam", block + BGZF_END), tmp_path / "a.bam") == block + BGZF_END
    with pytest.raises(UserMistake, match="has no end mark of BAM"):
        get(site.keep("cut.bam", block), tmp_path / "b.bam")


def test_an_hdf5_file_that_is_cut_is_refused(site, tmp_path):
    import h5py

    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = list(range(9999))
    whole = (tmp_path / "x.h5").read_bytes()
    assert get(site.keep("a.loom", whole), tmp_path / "a.loom") == whole
    with pytest.raises(UserMistake, match=r"is not a sound HDF5 file .*truncated"):
        get(site.keep("b.loom", whole[:-5000]), tmp_path / "b.loom")


def test_a_web_page_instead_of_reads_is_refused(site, url, tmp_path):
    site.faults = deque([bad.web_page])
    with pytest.raises(UserMistake, match="answers with a web page instead of a file"):
        get(url, tmp_path / "a.gz")


def test_a_page_that_does_not_say_so_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.keep("a.gz", b"<html>log in first</html>"), tmp_path / "a.gz")


def test_an_empty_file_is_refused(site, tmp_path):
    with pytest.raises(UserMistake, match="is empty"):
        get(site.keep("a.gz", b""), tmp_path / "a.gz")


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


def test_a_local_file_becomes_a_link(tmp_path):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT)
    assert get(tmp_path / "here.fastq.gz", tmp_path / "out" / "a.fastq.gz", md5=MD5) == CONTENT
    assert (tmp_path / "out" / "a.fastq.gz").is_symlink()


def test_a_local_file_that_fails_its_checks_is_left_as_it_was(tmp_path):
    (tmp_path / "here.fastq.gz").write_bytes(CONTENT[:-9])
    with pytest.raises(UserMistake, match="is cut short"):
        get(tmp_path / "here.fastq.gz", tmp_path / "out" / "a.fastq.gz")
    assert (tmp_path / "here.fastq.gz").read_bytes() == CONTENT[:-9]
    assert files_in(tmp_path / "out") == []


def test_a_local_file_that_is_missing_is_said(tmp_path):
    with pytest.raises(UserMistake, match="does not exist"):
        get(tmp_path / "absent.gz", tmp_path / "a.gz")


def test_an_unknown_scheme_is_refused(tmp_path):
    with pytest.raises(UserMistake, match=r"allowed are a path, http\(s\)://, s3:// and sra:RUN"):
        get("ftp://host/a.gz", tmp_path / "a.gz")


def test_an_object_of_s3_comes_whole(bucket, tmp_path):
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_is_resumed(bucket, tmp_path):
    etag = bucket.head_object(Bucket="reads", Key="a.fastq.gz")["ETag"]
    (tmp_path / "a.gz.part").write_bytes(b"x" * 1000 + CONTENT[1000:])
    note = {"identity": ["s3://reads/a.fastq.gz", etag, len(CONTENT), PART], "done": [1000] + [PART] * 4}
    note["done"] += [0] * (-(-len(CONTENT) // PART) - 5)
    (tmp_path / "a.gz.part.json").write_text(json.dumps(note))
    # The first bytes are wrong: only a transfer that trusts its note would fail at first, and is then begun anew.
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_that_changed_is_fetched_anew(bucket, tmp_path):
    (tmp_path / "a.gz.part").write_bytes(b"x" * 1000)
    old = ["s3://reads/a.fastq.gz", "an older one", len(CONTENT), PART]
    (tmp_path / "a.gz.part.json").write_text(json.dumps({"identity": old, "done": [PART]}))
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_that_is_missing_is_said(bucket, tmp_path):
    with pytest.raises(UserMistake, match=r"refused by S3 \(NoSuchKey\)"):
        get("s3://reads/absent.gz", tmp_path / "a.gz")


def test_an_address_of_s3_without_key_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="is not s3://bucket/key"):
        get("s3://reads", tmp_path / "a.gz")
