"""An object of S3 or of what speaks like it, by ranges; credentials from boto3's standard chain, or none."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.http import RETRIED_STATUS
from velocorpus.reads.fetch.parts import Broken, Stale
from velocorpus.reads.fetch.transfer import Found

# botocore waits for all of a chunk: a large one would hide a connection that all but stalls.
CHUNK = 1 << 16


def connect(
    address: str,
    *,
    timeout_s: float,
    parallel: int,
    proxy: str | None = None,
    endpoint: str | None = None,
    unsigned: bool = False,
) -> Any:
    """A client of S3 that never tries again by itself, for `parallel` threads; `address` is for its refusal."""
    import boto3
    import botocore
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    options: dict[str, Any] = {"signature_version": botocore.UNSIGNED} if unsigned else {}
    if proxy:
        options["proxies"] = {"http": proxy, "https": proxy}
    # Tries are counted in one place, which is not boto3.
    tries = {"total_max_attempts": 1}
    config = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, max_pool_connections=parallel, retries=tries, **options
    )
    try:
        return boto3.client("s3", endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        raise UserMistake(f"{address} could not be asked for ({error}); check endpoint and region.") from None


class S3Source:
    """One object: `s3://bucket/key`. `client`: one that several objects share, else see `connect` for `how`."""

    def __init__(self, address: str, *, client: Any = None, requester_pays: bool = False, **how: Any):
        self.address = address
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not bucket or not key:
            raise UserMistake(f"{address} is not s3://bucket/key.")
        self.wanted = {"Bucket": bucket, "Key": key} | ({"RequestPayer": "requester"} if requester_pays else {})
        self.client = client or connect(address, **how)

    def look(self) -> Found:
        """Begin to get it all: HEAD does not say why it refuses."""
        with self._get({}) as answer:
            return Found(answer["ETag"], answer["ContentLength"], ranged=True)

    @contextmanager
    def read(self, found: Found, span: tuple[int, int] | None) -> Iterator[Iterator[bytes]]:
        """The bytes of `span`; S3 refuses when the ETag is no longer that of `found`."""
        ranged = {"Range": f"bytes={span[0]}-{span[1] - 1}", "IfMatch": found.version} if span else {}
        with self._get(ranged) as answer:
            if span and answer.get("ContentRange") != f"bytes {span[0]}-{span[1] - 1}/{found.total}":
                raise Stale(f"asked for bytes {span[0]}-{span[1] - 1}, answered with {answer.get('ContentRange')!r}")
            if span and answer["ETag"] != found.version:
                raise Stale(f"the object changed: ETag {answer['ETag']} instead of {found.version}")
            yield answer["Body"].iter_chunks(CHUNK)

    def close(self) -> None:
        """Close the connections that were kept."""
        self.client.close()

    @contextmanager
    def _get(self, ranged: dict[str, str]) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
        from urllib3.exceptions import HTTPError

        try:
            answer = self.client.get_object(**self.wanted, **ranged)
        except ClientError as error:
            status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
            if status in (412, 416):
                raise Stale(f"the object changed (status {status})") from None
            if status in RETRIED_STATUS:
                raise Broken(f"status {status}") from None
            raise UserMistake(
                f"{self.address} was refused by S3 ({error.response['Error'].get('Code')}); check bucket, key and "
                "credentials (--unsigned for public buckets)."
            ) from None
        except (ConnectionError, HTTPClientError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from None
        except BotoCoreError as error:
            raise UserMistake(
                f"{self.address} could not be asked for ({error}); set up credentials, or --unsigned for public "
                "buckets."
            ) from None
        with closing(answer["Body"]):
            try:
                yield answer
            except (BotoCoreError, HTTPError) as error:
                raise Broken(f"{type(error).__name__}: {error}") from None
