"""Objects of S3 come whole, resumed by their version, asked for with or without credentials."""

import json
from contextlib import closing

import botocore
import pytest
from fetching import CONTENT, MD5, PART, get
from tests.drills import misbehaving as bad

from velocorpus.config import FetchConfig
from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.file import _remote


def test_an_object_of_s3_comes_whole(bucket, tmp_path):
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT


def test_an_object_of_s3_is_resumed(bucket, tmp_path, capsys):
    etag = bucket.head_object(Bucket="reads", Key="a.fastq.gz")["ETag"]
    (tmp_path / "a.gz.part").write_bytes(b"x" * 1000 + CONTENT[1000:])
    done = [1000, *[PART] * (len(CONTENT) // PART - 1), len(CONTENT) % PART]
    note = {"identity": ["s3://reads/a.fastq.gz", etag, len(CONTENT), PART], "done": done}
    (tmp_path / "a.gz.part.json").write_text(json.dumps(note))
    # The first bytes are wrong: a transfer that trusts its note fails at first, and is then begun anew.
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5) == CONTENT
    assert "It is fetched once more" in capsys.readouterr().err


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


@pytest.mark.parametrize(("unsigned", "signed"), [(False, True), (True, False)])
def test_requests_are_signed_by_the_standard_credentials_or_not_at_all(site, tmp_path, monkeypatch, unsigned, signed):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    site.keep("reads/a.fastq.gz", CONTENT)
    how = {"s3_endpoint": site.address, "s3_unsigned": unsigned, "s3_requester_pays": not unsigned}
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", md5=MD5, **how) == CONTENT
    assert {"authorization" in asked for asked in site.asked} == {signed}
    assert {asked.get("x-amz-request-payer") for asked in site.asked} == {"requester" if signed else None}


def test_sras_open_bucket_is_asked_for_at_amazons_without_credentials_whatever_store_is_set():
    with closing(
        _remote("s3://sra-pub-run-odp/sra/SRR1/SRR1", FetchConfig(s3_endpoint="http://127.0.0.1:9"))
    ) as source:
        assert source.client.meta.endpoint_url == "https://s3.amazonaws.com"
        assert source.client.meta.config.signature_version is botocore.UNSIGNED


def test_a_proxy_is_asked_for_s3_too(site, tmp_path):
    site.files["http://far.invalid/reads/a.fastq.gz"] = bad.Kept(CONTENT)
    how = {"s3_endpoint": "http://far.invalid", "proxy": site.address, "s3_unsigned": True}
    assert get("s3://reads/a.fastq.gz", tmp_path / "a.gz", **how) == CONTENT
