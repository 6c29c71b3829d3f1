"""One file from anywhere to a local path: verified before it gets its name, or absent with a reason.

    local path            a symbolic link: terabytes of reads are not copied
    http://, https://     streamed; resumed by Range where it broke, as long as the ETag stays the same
    s3://bucket/key       boto3, credentials from the standard chain or none (`unsigned`)

Bytes gather in `{out}.part`, which outlives a kill, so that the next run goes on from there;
`{out}.part.json` says of which version of the source (ETag or date) they are. Then MD5 and, for `.gz` and
`.bam`, the whole gzip stream are checked, and only then does the file get its name.
"""

import gzip
import hashlib
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from velocorpus import files
from velocorpus.errors import UserMistake

CHUNK = 1 << 20
TIMEOUT_S = 60.0
# What another try may mend; 403 and 404 stay what they are.
RETRIED_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Broken(Exception):
    """The transfer broke in a way that another try may mend."""


class _Stale(_Broken):
    """What we have is of another version of the source."""


class _Stream(NamedTuple):
    """What a source answered: where its bytes begin, which version they are of, how long it is in all."""

    start: int
    version: str
    total: int | None
    chunks: Iterator[bytes]


# source, bytes that are here, the version they are of → the rest of the source
Ask = Callable[[str, int, str], AbstractContextManager[_Stream]]


def fetch(
    source: str,
    out: Path | str,
    *,
    md5: str | None = None,
    retries: int = 5,
    unsigned: bool = False,
    wait_s: float = 1.0,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Bring `source` to `out`, verified; nothing stands at `out` unless it passed.

    `retries` more tries after a broken transfer, `wait_s` seconds apart at first, doubled each time (at most 60).
    `check` looks at the verified file before it gets its name. Raises `UserMistake` for a missing source, a refused
    request, a wrong MD5, a gzip stream that is cut or damaged, and a transfer that kept breaking.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    if re.match(r"https?://", source):
        _transfer(source, part, _http, retries, wait_s)
    elif source.startswith("s3://"):
        _transfer(source, part, partial(_s3, unsigned=unsigned), retries, wait_s)
    elif "://" in source:
        raise UserMistake(
            f"{source}: no way to fetch this; allowed are a path, http(s):// and s3:// (archives serve what they list "
            "as ftp:// by https:// too)."
        )
    else:
        _link(source, part)
    try:
        verify(part, source, md5=md5, compressed=any(str(name).endswith((".gz", ".bam")) for name in (source, out)))
        if check is not None:
            check(part)
    except UserMistake:
        # Bytes that failed must not be resumed from.
        part.unlink(missing_ok=True)
        _note(part).unlink(missing_ok=True)
        raise
    part.replace(out)
    _note(part).unlink(missing_ok=True)


def verify(path: Path, source: str, *, md5: str | None, compressed: bool) -> None:
    """Check MD5 and gzip integrity of `path`; `source` names it in the refusal."""
    if path.stat().st_size == 0:
        raise UserMistake(f"{source} is empty; look for another copy of the file.")
    if md5:
        with path.open("rb") as handle:
            found = hashlib.file_digest(handle, "md5").hexdigest()
        if found != md5.lower():
            raise UserMistake(
                f"{source} has MD5 {found}, the table says {md5}; fetch it again, or correct the table if the "
                "file was replaced on purpose."
            )
    if compressed:
        try:
            with gzip.open(path) as handle:
                while handle.read(CHUNK):
                    pass
        except EOFError:
            raise UserMistake(
                f"{source} is cut short: its gzip stream has no end; fetch it again or look for another copy."
            ) from None
        except (OSError, zlib.error) as error:
            raise UserMistake(
                f"{source} is not a sound gzip file ({error}); fetch it again or look for another copy."
            ) from None


def _link(source: str, part: Path) -> None:
    path = files.existing(source, "source").resolve()
    if not path.is_file():
        raise UserMistake(f"{source} is not a file; give one file.")
    part.unlink(missing_ok=True)
    part.symlink_to(path)


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _transfer(source: str, part: Path, ask: Ask, retries: int, wait_s: float) -> None:
    import tenacity

    def say(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        print(f"{source}: {error}; try {state.attempt_number + 1} of {retries + 1}", file=sys.stderr)

    tries = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_Broken),
        stop=tenacity.stop_after_attempt(retries + 1),
        wait=tenacity.wait_exponential(multiplier=wait_s, max=60),
        before_sleep=say,
        reraise=True,
    )
    try:
        tries(_attempt, source, part, ask)
    except _Broken as error:
        raise UserMistake(
            f"{source} could not be fetched in {retries + 1} tries ({error}); run again later to go on."
        ) from None


def _attempt(source: str, part: Path, ask: Ask) -> None:
    """One try: go on where `part` ends if it is of the same version, else from the start."""
    have = part.stat().st_size if part.exists() else 0
    known = files.read_json(_note(part))["version"] if have and _note(part).exists() else ""
    if not known:
        have = 0
    try:
        _receive(ask(source, have, known), part, have)
    except _Stale:
        part.unlink(missing_ok=True)
        raise


def _receive(request: AbstractContextManager[_Stream], part: Path, have: int) -> None:
    with request as stream:
        if stream.start not in (0, have):
            raise _Broken(f"asked from byte {have}, answered from byte {stream.start}")
        files.write_json(_note(part), {"version": stream.version})
        with part.open("r+b" if stream.start else "wb") as handle:
            handle.truncate(stream.start)
            handle.seek(stream.start)
            for chunk in stream.chunks:
                handle.write(chunk)
            size = handle.tell()
    if stream.total is not None and size != stream.total:
        if size > stream.total:
            part.unlink()
        raise _Broken(f"{size} of {stream.total} bytes came")


@contextmanager
def _http(source: str, have: int, known: str) -> Iterator[_Stream]:
    """GET from byte `have` on; `If-Range` makes the server send all of it when the version changed."""
    import httpx

    headers = {"Accept-Encoding": "identity"}
    if have:
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    try:
        with (
            httpx.Client(follow_redirects=True, timeout=TIMEOUT_S) as client,
            client.stream("GET", source, headers=headers) as response,
        ):
            yield _answer(source, response.status_code, response.headers, response.iter_raw())
    except httpx.InvalidURL as error:
        raise UserMistake(f"{source} is not an address ({error}).") from None
    except httpx.HTTPError as error:
        raise _Broken(f"{type(error).__name__}: {error}") from None


def _answer(source: str, status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> _Stream:
    if status in RETRIED_STATUS:
        raise _Broken(f"status {status}")
    if status == 416:
        raise _Stale(f"status {status}")
    if status not in (200, 206):
        raise UserMistake(f"{source} was refused with status {status}; check the address.")
    start, total = 0, headers.get("Content-Length")
    if status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
        if not match:
            raise _Broken(f"unreadable Content-Range {headers.get('Content-Range')!r}")
        start, total = int(match[1]), match[2]
    etag = headers.get("ETag", "")
    # A weak ETag may not be used in If-Range (RFC 9110, 13.1.5).
    version = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    return _Stream(start, version, int(total) if total else None, chunks)


@contextmanager
def _s3(source: str, have: int, known: str, unsigned: bool = False) -> Iterator[_Stream]:
    """GetObject from byte `have` on, refused by S3 when the ETag is no longer `known`."""
    import boto3
    import botocore
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    bucket, _, key = source.removeprefix("s3://").partition("/")
    if not bucket or not key:
        raise UserMistake(f"{source} is not s3://bucket/key.")
    ranged = {"Range": f"bytes={have}-", "IfMatch": known} if have else {}
    try:
        client = boto3.client("s3", config=Config(signature_version=botocore.UNSIGNED) if unsigned else Config())
        answer = client.get_object(Bucket=bucket, Key=key, **ranged)
    except ClientError as error:
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        if status in (412, 416):
            raise _Stale(f"status {status}") from None
        if status in RETRIED_STATUS:
            raise _Broken(f"status {status}") from None
        raise UserMistake(
            f"{source} was refused by S3 ({error.response['Error'].get('Code')}); check bucket, key and credentials "
            "(--unsigned for public buckets)."
        ) from None
    except BotoCoreError as error:
        raise UserMistake(
            f"{source} could not be asked for ({error}); set up credentials, or --unsigned for public buckets."
        ) from None
    start = have if "ContentRange" in answer else 0
    with closing(answer["Body"]) as body:
        try:
            yield _Stream(start, answer["ETag"], start + answer["ContentLength"], body.iter_chunks(CHUNK))
        except (BotoCoreError, HTTPError) as error:
            raise _Broken(f"{type(error).__name__}: {error}") from None
