"""A folder of a bucket of S3, or of what speaks like it: asked again where that may help, one sentence where not."""

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from velocorpus.config import FetchConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch.http import RETRIED_STATUS
from velocorpus.reads.fetch.parts import Broken
from velocorpus.reads.fetch.s3 import connect
from velocorpus.reads.fetch.transfer import MAX_WAIT_S

Answer = TypeVar("Answer")

# Refusals that another try may mend: bytes that were changed or lost on their way to the store, and haste.
_PASSING = (
    *("BadDigest", "IncompleteBody", "InvalidPart", "InvalidPartOrder", "MalformedXML", "XAmzContentSHA256Mismatch"),
    *("InternalError", "OperationAborted", "RequestTimeout", "SlowDown"),
)


class Refused(UserMistake):
    """What the store refused for good; `code` is its own word for it."""

    def __init__(self, sentence: str, code: str = ""):
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Remote:
    """An object as a listing has it: bytes, and the ETag without its quotes."""

    size: int
    etag: str


class Bucket:
    """`s3://bucket/folder`; the names of its objects are given without the folder. Threads may share it.

    `instead` ends the sentences of refusals: what the command that asks has to get around them.
    """

    def __init__(self, address: str, how: FetchConfig, wait_s: float = 1.0, *, instead: str):
        bucket, _, folder = address.removeprefix("s3://").partition("/")
        if not address.startswith("s3://") or not bucket or "//" in folder:
            raise UserMistake(f"{address} is not the address of a folder on S3; give s3://bucket/folder.")
        self.how, self.wait_s, self.bucket, self.instead = how, wait_s, bucket, instead
        self.folder = f"{folder.strip('/')}/" if folder.strip("/") else ""
        self.address = f"s3://{bucket}/{self.folder}".rstrip("/")
        # Set when one of several threads has failed for good: the others need not try again.
        self.halt = threading.Event()
        self.payer = {"RequestPayer": "requester"} if how.s3_requester_pays else {}
        self.client = connect(
            self.address,
            timeout_s=how.timeout_s,
            parallel=how.parallel,
            proxy=how.proxy,
            endpoint=how.s3_endpoint,
            unsigned=how.s3_unsigned,
        )

    def ask(self, operation: str, name: str = "", **words: Any) -> dict[str, Any]:
        """One operation of boto3's client, on the object `name` where one is given."""
        return self.again(f"{operation} of {name or 'the folder'}", lambda: self.once(operation, name, **words))

    def once(self, operation: str, name: str = "", **words: Any) -> dict[str, Any]:
        """The same without another try: raises `Broken` for what may pass, `Refused` for what may not."""
        from botocore import exceptions as boto
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import HTTPError

        key = {"Key": self.folder + name} if name else {}
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(Bucket=self.bucket, **key, **self.payer, **words)
            if operation == "get_object":
                answer["Body"] = answer["Body"].read()
            return answer
        except boto.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code"))
            if error.response["ResponseMetadata"].get("HTTPStatusCode", 0) in RETRIED_STATUS or code in _PASSING:
                raise Broken(code) from None
            raise Refused(self._sentence(operation, name, code), code) from None
        except (
            *(boto.ConnectionError, boto.HTTPClientError, HTTPError, ResponseParserError),
            *(boto.FlexibleChecksumError, boto.IncompleteReadError),
        ) as error:
            raise Broken(f"{type(error).__name__}: {error}") from None
        except boto.BotoCoreError as error:
            raise Refused(
                f"{self.address} could not be asked for ({error}); check address and credentials; {self.instead}."
            ) from None

    def again(self, what: str, call: Callable[[], Answer]) -> Answer:
        """What `call` gives; after each `Broken` it is called again, `how.retries` times, ever later."""
        for trial in range(1, self.how.retries + 2):
            try:
                return call()
            except Broken as error:
                if trial > self.how.retries or self.halt.is_set():
                    raise TryLater(
                        f"{self.address}: {what} broke in {trial} tries ({error}); run again later to go on."
                    ) from None
                print(f"{what}: {error}; try {trial + 1} of {self.how.retries + 1}", file=sys.stderr, flush=True)
                self.halt.wait(min(max(error.wait_s, self.wait_s * 2 ** (trial - 1)), MAX_WAIT_S))
        raise AssertionError

    def objects(self) -> dict[str, Remote]:
        """Every object of the folder by name, and of folders in it."""
        found = {}
        for page in self.pages("list_objects_v2", ("ContinuationToken", "NextContinuationToken"), Prefix=self.folder):
            for one in page.get("Contents", []):
                found[one["Key"].removeprefix(self.folder)] = Remote(one["Size"], one["ETag"].strip('"'))
        return found

    def uploads(self) -> dict[str, list[str]]:
        """Uploads that were begun in parts, with SHA-256, and not ended: ids by the name of their object."""
        found: dict[str, list[str]] = {}
        markers = ("KeyMarker", "NextKeyMarker"), ("UploadIdMarker", "NextUploadIdMarker")
        for page in self.pages("list_multipart_uploads", *markers, Prefix=self.folder):
            for one in page.get("Uploads", []):
                found.setdefault(one["Key"].removeprefix(self.folder), []).append(one["UploadId"])
        return found

    def pages(
        self, operation: str, *markers: tuple[str, str], name: str = "", **words: Any
    ) -> Iterator[dict[str, Any]]:
        """The answers of an operation that lists; `markers`: what is asked for, and where the answer before says it."""
        after: dict[str, Any] = {}
        while True:
            page = self.ask(operation, name, **words, **after)
            yield page
            if not page.get("IsTruncated"):
                return
            after = {asked: page[said] for asked, said in markers if page.get(said)}

    def read(self, name: str) -> tuple[bytes, str]:
        """A small object and its ETag, checked against the checksum that the store keeps of it."""

        def get() -> tuple[bytes, str]:
            answer = self.once("get_object", name, ChecksumMode="ENABLED")
            content, etag = answer["Body"], answer["ETag"].strip('"')
            if not is_encrypted(answer) and "-" not in etag and etag != md5(content).hexdigest():
                raise Broken("bytes were changed on the way")
            return content, etag

        return self.again(f"reading {name}", get)

    def _sentence(self, operation: str, name: str, code: str) -> str:
        where = f"s3://{self.bucket}/{self.folder}{name}"
        if code == "NoSuchBucket":
            store = self.how.s3_endpoint or self.client.meta.endpoint_url
            return f"There is no bucket '{self.bucket}' at {store}; correct the address; {self.instead}."
        if code in ("AccessDenied", "403", "AllAccessDisabled"):
            return f"{where}: {operation} is not allowed ({code}); use credentials that may do it; {self.instead}."
        if code in ("NoSuchKey", "404"):
            return f"There is no {where}; check the address, or wait until its publisher has ended."
        if code == "AccessControlListNotSupported":
            return f"The bucket '{self.bucket}' takes no ACLs; leave --public out and open it by a bucket policy."
        return f"{where}: {operation} was refused by S3 ({code}); check address, region and credentials."


def is_encrypted(answer: dict[str, Any]) -> bool:
    """Whether an object lies under a key of its own (KMS, SSE-C): its ETag says nothing of its bytes then."""
    return answer.get("ServerSideEncryption") not in (None, "AES256") or "SSECustomerAlgorithm" in answer


def md5(content: bytes = b"") -> Any:
    """MD5, which S3 makes ETags of."""
    return hashlib.md5(content, usedforsecurity=False)
