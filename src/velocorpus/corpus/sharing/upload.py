"""One file to one object: not sent when it is there, in parts when it is large, checked when it has arrived.

Each part goes with its SHA-256, which S3 holds against the bytes that came. What is there is judged by what the store
computed from its own bytes: the ETag (an MD5, or the MD5 of the parts' MD5s), or, where objects lie under a key of
their own and the ETag says nothing, the SHA-256 of the parts. So that parts can be compared, they are cut by the
file's size alone.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from velocorpus.corpus.bucket import Bucket, Refused, Remote, is_encrypted, md5
from velocorpus.reads.fetch.parts import Broken

PART_BYTES = 16 << 20
# S3's own limits: at most so many parts of at most 5 GiB.
MAX_PARTS = 10_000
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Part:
    """A stretch of a file: its first byte, its length, and its digests."""

    start: int
    size: int
    sha256: bytes
    md5: bytes


@dataclass(frozen=True)
class Digests:
    """What a file is, read once: bytes, SHA-256 in hexadecimal, and its parts."""

    size: int
    sha256: str
    parts: tuple[Part, ...]

    @property
    def etag(self) -> str:
        """The ETag that S3 gives these bytes sent in these parts."""
        if len(self.parts) == 1:
            return self.parts[0].md5.hex()
        return f"{md5(b''.join(part.md5 for part in self.parts)).hexdigest()}-{len(self.parts)}"

    @property
    def checksum(self) -> str:
        """S3's SHA-256 of these bytes sent in these parts."""
        if len(self.parts) == 1:
            return _b64(self.parts[0].sha256)
        return f"{_b64(hashlib.sha256(b''.join(part.sha256 for part in self.parts)).digest())}-{len(self.parts)}"


def digests(path: Path, part_bytes: int = PART_BYTES) -> Digests:
    """Read a file once; an empty one has one empty part."""
    size = path.stat().st_size
    part_bytes = max(part_bytes, -(-size // MAX_PARTS))
    whole, parts = hashlib.sha256(), []
    with path.open("rb") as handle:
        for start in range(0, max(size, 1), part_bytes):
            one, other, left = hashlib.sha256(), md5(), min(part_bytes, size - start)
            while left and (block := handle.read(min(_BLOCK, left))):
                for digest in (whole, one, other):
                    digest.update(block)
                left -= len(block)
            parts.append(Part(start, min(part_bytes, size - start), one.digest(), other.digest()))
    return Digests(size, whole.hexdigest(), tuple(parts))


def holds(bucket: Bucket, name: str, there: Remote, file: Digests) -> bool:
    """Whether the object `name`, as the listing has it, is this file."""
    if there.size != file.size or there.etag == file.etag:
        return there.size == file.size
    head = bucket.ask("head_object", name, ChecksumMode="ENABLED")
    return is_encrypted(head) and head.get("ChecksumSHA256") == file.checksum


def send(bucket: Bucket, name: str, path: Path, file: Digests, unfinished: Sequence[str] = (), **how: Any) -> Remote:
    """Make the object `name` of a file, going on with an unfinished upload; what it is there. `how`: for S3, as ACL."""
    if len(file.parts) == 1:
        put = partial(_put, bucket, "put_object", name, path, file.parts[0], how)
        return Remote(file.size, bucket.again(f"sending {name}", put)["ETag"].strip('"'))
    return bucket.again(f"sending {name}", partial(_send_parts, bucket, name, path, file, list(unfinished), how))


def _put(bucket: Bucket, operation: str, name: str, path: Path, part: Part, how: dict[str, Any]) -> dict[str, Any]:
    """Send a file or a part of one; `Broken` when the store has other bytes."""
    with path.open("rb") as handle:
        handle.seek(part.start)
        body = handle.read(part.size)
    answer = bucket.once(operation, name, Body=body, ChecksumSHA256=_b64(part.sha256), **how)
    if not is_encrypted(answer) and answer["ETag"].strip('"') != part.md5.hex():
        raise Broken("the store has other bytes than were sent")
    return answer


def _send_parts(
    bucket: Bucket, name: str, path: Path, file: Digests, unfinished: list[str], how: dict[str, Any]
) -> Remote:
    upload, done = _resumed(bucket, name, file, unfinished)
    try:
        if not upload:
            upload = bucket.ask("create_multipart_upload", name, ChecksumAlgorithm="SHA256", **how)["UploadId"]
            unfinished.append(upload)
        for number, part in enumerate(file.parts, 1):
            if number not in done:
                words = {"UploadId": upload, "PartNumber": number}
                put = partial(_put, bucket, "upload_part", name, path, part, words)
                done[number] = bucket.again(f"sending part {number} of {len(file.parts)} of {name}", put)["ETag"]
        listed = [
            {"PartNumber": number, "ETag": done[number], "ChecksumSHA256": _b64(part.sha256)}
            for number, part in enumerate(file.parts, 1)
        ]
        bucket.ask("complete_multipart_upload", name, UploadId=upload, MultipartUpload={"Parts": listed})
    except Refused as refused:
        # It may have been completed by a try whose answer was lost: the head tells.
        if refused.code != "NoSuchUpload":
            raise
        unfinished.remove(upload)
    try:
        head = bucket.ask("head_object", name)
    except Refused as refused:
        if refused.code not in ("404", "NoSuchKey"):
            raise
        raise Broken("someone else aborted its upload in parts") from None
    there = Remote(head["ContentLength"], head["ETag"].strip('"'))
    if not holds(bucket, name, there, file):
        raise Broken("the store has other bytes than were sent")
    return there


def _resumed(bucket: Bucket, name: str, file: Digests, unfinished: list[str]) -> tuple[str, dict[int, str]]:
    """An unfinished upload of this file and the ETags of its parts that are there; other uploads are aborted."""
    for upload in list(unfinished):
        done = {}
        try:
            markers = ("PartNumberMarker", "NextPartNumberMarker")
            for page in bucket.pages("list_parts", markers, name=name, UploadId=upload):
                for one in page.get("Parts", []):
                    number, etag = one["PartNumber"], one["ETag"]
                    part = file.parts[number - 1] if number <= len(file.parts) else None
                    same = part and (
                        etag.strip('"') == part.md5.hex() or one.get("ChecksumSHA256") == _b64(part.sha256)
                    )
                    if part and same and one["Size"] == part.size:
                        done[number] = etag
            if done:
                return upload, done
            bucket.ask("abort_multipart_upload", name, UploadId=upload)
        except Refused as refused:
            if refused.code != "NoSuchUpload":
                raise
        unfinished.remove(upload)
    return "", {}


def _b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
