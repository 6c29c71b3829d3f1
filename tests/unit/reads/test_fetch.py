"""A file is fetched whole and verified, or it is absent with a reason."""

import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from moto import mock_aws

from velocorpus.errors import UserMistake
from velocorpus.reads.fetch import fetch

CONTENT = gzip.compress(bytes(range(256)) * 4000, mtime=0, compresslevel=0)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Site:
    """A local server of one file that misbehaves as it is told, one mood a request."""

    def __init__(self):
        self.content, self.etag, self.moods, self.asked = CONTENT, '"one"', [], []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mood = site.moods.pop(0) if site.moods else "well"
                site.asked.append({key.lower(): value for key, value in self.headers.items()})
                if isinstance(mood, int):
                    self.send_error(mood)
                    return
                start = 0
                wanted = self.headers.get("Range")
                if wanted and self.headers.get("If-Range") == site.etag and mood != "ignores_range":
                    start = int(wanted.removeprefix("bytes=").rstrip("-"))
                    self.send_response(206)
                    end = len(site.content) - 1
                    self.send_header("Content-Range", f"bytes {start}-{end}/{len(site.content)}")
                else:
                    self.send_response(200)
                self.send_header("ETag", site.etag)
                self.send_header("Content-Length", str(len(site.content) - start))
                self.end_headers()
                body = site.content[start:]
                self.wfile.write(body[: len(body) // 2] if mood == "drops" else body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/reads.fastq.gz"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def bucket(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket="reads")
        client.put_object(Bucket="reads", Key="a.fastq.gz", Body=CONTENT)
        yield client


def get(source, out, **options):
    fetch(str(source), out, wait_s=0.01, **options)
    return out.read_bytes()


def files_in(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_comes_whole_and_leaves_nothing_beside_it(site, tmp_path):
    assert get(site.url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert files_in(tmp_path) == ["a.gz"]


def test_a_transfer_that_drops_goes_on_where_it_broke(site, tmp_path):
    site.moods = ["drops", "drops"]
    assert get(site.url, tmp_path / "a.gz", md5=MD5) == CONTENT
    half = len(CONTENT) // 2
    assert site.asked[1]["range"] == f"bytes={half}-"


def test_a_server_that_ignores_ranges_is_read_from_the_start(site, tmp_path):
    site.moods = ["drops", "ignores_range"]
    assert get(site.url, tmp_path / "a.gz", md5=MD5) == CONTENT


def test_a_new_run_goes_on_from_what_the_last_one_left(site, tmp_path):
    site.moods = ["drops"]
    with pytest.raises(UserMistake, match="in 1 tries"):
        get(site.url, tmp_path / "a.gz", retries=0)
    assert get(site.url, tmp_path / "a.gz", md5=MD5) == CONTENT
    assert "range" in site.asked[1]


def test_bytes_of_another_version_are_not_resumed_from(site, tmp_path):
    site.moods = ["drops"]
    with pytest.raises(UserMistake):
        get(site.url, tmp_path / "a.gz", retries=0)
    site.content, site.etag = gzip.compress(b"another" * 99, mtime=0), '"two"'
    assert get(site.url, tmp_path / "a.gz") == site.content


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(site, tmp_path, status):
    site.moods = [status, status]
    assert get(site.url, tmp_path / "a.gz", md5=MD5) == CONTENT


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_final_and_said(site, tmp_path, status):
    site.moods = [status]
    with pytest.raises(UserMistake, match=f"was refused with status {status}"):
        get(site.url, tmp_path / "a.gz")
    assert len(site.asked) == 1
    assert files_in(tmp_path) == []


def test_a_server_that_is_not_there_is_said_after_the_tries(tmp_path):
    with pytest.raises(UserMistake, match=r"could not be fetched in 2 tries \(ConnectError"):
        get("http://127.0.0.1:9/a.gz", tmp_path / "a.gz", retries=1)


def test_a_wrong_md5_is_refused_and_nothing_stays(site, tmp_path):
    with pytest.raises(UserMistake, match=f"has MD5 {MD5}, the table says {'0' * 32}"):
        get(site.url, tmp_path / "a.gz", md5="0" * 32)
    assert files_in(tmp_path) == []


def test_a_gzip_file_that_was_cut_at_its_source_is_refused(site, tmp_path):
    site.content = CONTENT[:-100]
    with pytest.raises(UserMistake, match="is cut short"):
        get(site.url, tmp_path / "a.gz")
    assert files_in(tmp_path) == []


def test_damage_inside_a_gzip_file_is_refused(site, tmp_path):
    site.content = CONTENT[:5000] + b"\x00" + CONTENT[5001:]
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.url, tmp_path / "a.gz")


def test_a_web_page_instead_of_reads_is_refused(site, tmp_path):
    site.content = b"<html>log in first</html>"
    with pytest.raises(UserMistake, match="is not a sound gzip file"):
        get(site.url, tmp_path / "a.gz")


def test_an_empty_file_is_refused(site, tmp_path):
    site.content = b""
    with pytest.raises(UserMistake, match="is empty"):
        get(site.url, tmp_path / "a.gz")


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
    with pytest.raises(UserMistake, match=r"allowed are a path, http\(s\):// and s3://"):
        get("ftp://host/a.gz", tmp_path / "a.gz")


def test_an_object_of_s3_comes_whole(bucket, tmp_path):
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_is_resumed(bucket, tmp_path):
    etag = bucket.head_object(Bucket="reads", Key="a.fastq.gz")["ETag"]
    (tmp_path / "a.gz.part").write_bytes(CONTENT[:1000])
    (tmp_path / "a.gz.part.json").write_text(json.dumps({"version": etag}))
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_that_changed_is_fetched_anew(bucket, tmp_path):
    (tmp_path / "a.gz.part").write_bytes(b"x" * 1000)
    (tmp_path / "a.gz.part.json").write_text('{"version": "an older one"}')
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_that_is_missing_is_said(bucket, tmp_path):
    with pytest.raises(UserMistake, match=r"refused by S3 \(NoSuchKey\)"):
        get("s3://reads/absent.gz", tmp_path / "a.gz")


def test_an_address_of_s3_without_key_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="is not s3://bucket/key"):
        get("s3://reads", tmp_path / "a.gz")
