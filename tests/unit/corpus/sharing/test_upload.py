import hashlib
from dataclasses import dataclass, field

import pytest

from velocorpus.corpus.bucket import Remote
from velocorpus.corpus.sharing.upload import MAX_PARTS, digests, holds


@dataclass
class Head:
    """A bucket that answers every question with one head."""

    answer: dict = field(default_factory=dict)

    def ask(self, operation, name, **words):
        return self.answer


@pytest.fixture
def path(tmp_path):
    (tmp_path / "f").write_bytes(bytes(range(256)) * 40)
    return tmp_path / "f"


def test_a_file_of_one_part_has_its_own_md5_and_sha256(path):
    file = digests(path)
    assert (file.size, file.etag) == (10_240, hashlib.md5(path.read_bytes()).hexdigest())
    assert file.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_parts_cover_the_file_and_give_s3s_etag(path):
    file, content = digests(path, 4096), path.read_bytes()
    pieces = [content[:4096], content[4096:8192], content[8192:]]
    assert [(part.start, part.size) for part in file.parts] == [(0, 4096), (4096, 4096), (8192, 2048)]
    assert file.etag == hashlib.md5(b"".join(hashlib.md5(one).digest() for one in pieces)).hexdigest() + "-3"
    assert file.checksum.endswith("-3")
    assert file.sha256 == digests(path).sha256


def test_an_empty_file_has_one_empty_part(tmp_path):
    (tmp_path / "f").touch()
    assert [(part.start, part.size) for part in digests(tmp_path / "f").parts] == [(0, 0)]


def test_there_are_never_more_parts_than_s3_takes(tmp_path):
    (tmp_path / "f").write_bytes(bytes(MAX_PARTS + 1))
    assert len(digests(tmp_path / "f", 1).parts) <= MAX_PARTS


@pytest.mark.parametrize(
    ("remote", "head", "same"),
    [
        (("size", "etag"), {}, True),
        (("size", "other"), {}, False),
        ((1, "etag"), {}, False),
        # Under a key of its own the ETag says nothing, and S3's checksum does.
        (("size", "other"), {"ServerSideEncryption": "aws:kms", "ChecksumSHA256": "checksum"}, True),
        (("size", "other"), {"SSECustomerAlgorithm": "AES256", "ChecksumSHA256": "checksum"}, True),
        (("size", "other"), {"ServerSideEncryption": "aws:kms", "ChecksumSHA256": "other"}, False),
        (("size", "other"), {"ServerSideEncryption": "aws:kms"}, False),
        # Without one a store may have taken the checksum's word.
        (("size", "other"), {"ServerSideEncryption": "AES256", "ChecksumSHA256": "checksum"}, False),
    ],
)
def test_an_object_is_the_file_by_what_the_store_computed(path, remote, head, same):
    file = digests(path, 4096)
    known = {"size": file.size, "etag": file.etag, "checksum": file.checksum}
    size, etag = (known.get(word, word) for word in remote)
    answer = {key: known.get(value, value) for key, value in head.items()}
    assert holds(Head(answer), "f", Remote(size, etag), file) is same
