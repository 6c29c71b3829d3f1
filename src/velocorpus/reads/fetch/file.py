"""One file from anywhere to a local path: verified before it gets its name, or absent with a reason.

    local path            a symbolic link: terabytes of reads are not copied
    http://, https://     in ranges and in parallel where the host allows it (`http.py`)
    s3://bucket/key       the same by boto3 (`s3.py`)

Bytes gather in `{out}.part` (`transfer.py`, `parts.py`), which outlives a kill, so that the next run goes on from
there. Then MD5 and form are checked (`verify.py`), and only then does the file get its name. Counts that their host
compressed once more (GEO's `.h5ad.gz`) are unpacked. Runs of SRA are several files: `sra.py`.
"""

import re
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from velocorpus import files
from velocorpus.config import FetchConfig
from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.http import HttpSource
from velocorpus.reads.fetch.parts import PART_BYTES, Parts
from velocorpus.reads.fetch.s3 import S3Source
from velocorpus.reads.fetch.transfer import Source, transfer
from velocorpus.reads.fetch.verify import Damaged, is_packed, unpack, verify

# Anyone may read these, with or without credentials of their own; they lie at Amazon's, whatever `s3_endpoint` says.
OPEN_BUCKETS = ("s3://sra-pub-run-odp/",)


def fetch(
    source: str,
    out: Path | str,
    *,
    md5: str | None = None,
    size: int | None = None,
    how: FetchConfig | None = None,
    wait_s: float = 1.0,
    part_bytes: int = PART_BYTES,
    check: Callable[[Path], None] | None = None,
) -> None:
    """Bring `source` to `out`, verified; nothing stands at `out` unless it passed.

    `md5` and `size` (bytes) are what the table says of the file. `how`: connections, tries, mirrors, proxy. `wait_s`:
    seconds before the second try. `check` looks at the verified file before it gets its name. A file that came
    damaged is fetched once more. Raises `UserMistake` for a missing source, a refused request and a damaged file,
    `TryLater` for a transfer that kept breaking and a disk without room.
    """
    out, how = Path(out), how or FetchConfig()
    if out.is_dir():
        raise UserMistake(f"{out} is a folder; give the name that the file is to have.")
    out.parent.mkdir(parents=True, exist_ok=True)

    def inspect(path: Path, address: str) -> None:
        verify(path, address, out, md5=md5, size=size)
        if check is not None:
            check(path)

    def bring(address: str) -> None:
        remote = _remote(address, how)
        if remote is None:
            return _link(address, out, inspect)
        with closing(remote), Parts(out.with_name(out.name + ".part"), part_bytes) as parts:
            for last_try in (False, True):
                transfer(
                    remote,
                    parts,
                    parallel=how.parallel,
                    retries=how.retries,
                    timeout_s=how.timeout_s,
                    size=size,
                    wait_s=wait_s,
                )
                try:
                    inspect(parts.path, address)
                    break
                except Damaged as damage:
                    parts.forget()
                    if last_try:
                        raise
                    print(f"{damage} It is fetched once more.", file=sys.stderr, flush=True)
            if is_packed(parts.path, out):
                unpack(parts.path, out, address)
                parts.remove()
            else:
                parts.become(out)
        return None

    *mirrors, last = addresses(source, how.mirrors)
    for mirror in mirrors:
        try:
            return bring(mirror)
        except UserMistake as mistake:
            print(f"{mistake} The next address is asked.", file=sys.stderr, flush=True)
    return bring(last)


def addresses(source: str, mirrors: tuple[tuple[str, str], ...]) -> list[str]:
    """Where to ask for `source`: its mirrors in their order, then itself."""
    return [*(new + source.removeprefix(old) for old, new in mirrors if source.startswith(old)), source]


def _remote(source: str, how: FetchConfig) -> Source | None:
    """The source by its protocol; None for a local path."""
    if re.match(r"https?://", source):
        return HttpSource(source, timeout_s=how.timeout_s, proxy=how.proxy)
    if source.startswith("s3://"):
        is_open = source.startswith(OPEN_BUCKETS)
        return S3Source(
            source,
            timeout_s=how.timeout_s,
            parallel=how.parallel,
            proxy=how.proxy,
            endpoint=None if is_open else how.s3_endpoint,
            unsigned=how.s3_unsigned or is_open,
            requester_pays=how.s3_requester_pays,
        )
    if "://" in source:
        raise UserMistake(
            f"{source}: no way to fetch this; allowed are a path, http(s)://, s3:// and sra:RUN (archives serve what "
            "they list as ftp:// by https:// too)."
        )
    return None


def _link(source: str, out: Path, inspect: Callable[[Path, str], None]) -> None:
    path = files.existing(source, "source").resolve()
    if not path.is_file():
        raise UserMistake(f"{source} is not a file; give one file.")
    # A link to itself in its own place would be the end of it.
    if out.exists() and not out.is_symlink() and out.samefile(path):
        raise UserMistake(f"{source} is what --out names, too; give another place.")
    inspect(path, source)
    if is_packed(path, out):
        return unpack(path, out, source)
    with files.replacing(out) as aside:
        aside.symlink_to(path)
    return None
