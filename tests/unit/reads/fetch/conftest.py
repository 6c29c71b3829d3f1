"""Servers that have a file of reads."""

import boto3
import pytest
from fetching import CONTENT
from moto import mock_aws
from tests.drills import misbehaving as bad


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
