"""Whose a folder of a bucket is: which manifest stands there, which one is on its way, and how one takes its place.

A write on condition (If-Match, If-None-Match) is what keeps two publishers apart: `publishing.json` for the time that
objects take, `manifest.json` for the moment in which readers see them.
"""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from velocorpus.corpus import schema
from velocorpus.corpus.bucket import Bucket, Refused, Remote
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.sharing.contents import COPIES
from velocorpus.corpus.sharing.upload import digests, holds, send
from velocorpus.errors import TryLater, UserMistake
from velocorpus.files import write_json

CLAIM_FILE = "publishing.json"
_FOLDERS = f"{schema.SHARDS_FOLDER}|{schema.VERSIONS_FOLDER}"
OURS = re.compile(rf"(({_FOLDERS})/[^/]+|{schema.MANIFEST_FILE}|{CLAIM_FILE}|{'|'.join(COPIES)})")
# What is read as text goes up in one piece, so that its own MD5 is its ETag.
WHOLE = 1 << 30

Standing = tuple[str, str]


def standing(
    bucket: Bucket,
    there: Mapping[str, Remote],
    corpus: Corpus,
    versions: Collection[str],
    same: Callable[[str, Remote], bool],
    *,
    replace: bool,
) -> Standing | None:
    """SHA-256 and ETag of the manifest that stands in the folder, when the corpus may follow it, or must `replace` it.

    `versions`: SHA-256 of each manifest of the corpus. `same`: whether an object is the corpus' file of that name.
    """
    where = bucket.address
    if schema.MANIFEST_FILE not in there:
        strange = [name for name in there if not OURS.fullmatch(name)]
        if strange:
            raise UserMistake(
                f"{where} holds {len(strange)} object(s) that are no corpus (for example {strange[0]}); give an empty "
                "folder."
            )
        return None
    content, etag = bucket.read(schema.MANIFEST_FILE)
    digest = hashlib.sha256(content).hexdigest()
    if replace or digest == corpus.digest:
        return digest, etag
    if digest not in versions:
        name = f"{schema.VERSIONS_FOLDER}/{corpus.manifest['version']}.json"
        raise UserMistake(
            f"{where} holds a later version of this corpus than {corpus.manifest['version']}; pull it, and grow that."
            if name in there and same(name, there[name])
            else f"{where} holds another corpus (manifest {digest[:16]}…); give another folder, or --replace."
        )
    shards = {one["path"]: one["sha256"] for one in json.loads(content)["shards"]}
    for entry in corpus.manifest["shards"]:
        if shards.get(entry["path"], entry["sha256"]) != entry["sha256"]:
            raise UserMistake(
                f"{where}/{entry['path']} has other bytes than here, though this version follows that one; give "
                "another folder, or --replace."
            )
    return digest, etag


def claim(
    bucket: Bucket,
    digest: str,
    versions: Collection[str],
    before: Standing | None,
    there: Mapping[str, Remote],
    acl: Mapping[str, str],
    *,
    replace: bool,
) -> None:
    """Say that the manifest `digest` is on its way; refused while one that is no version of it is."""
    etag = None
    if CLAIM_FILE in there:
        claimed, etag = _claimed(bucket)
        if claimed == digest:
            return
        if not (replace or claimed in versions or (before and claimed == before[0])):
            raise UserMistake(
                f"{bucket.address}: another corpus (manifest {claimed[:16]}…) is being published there, or was and has "
                "not ended; let it end, give another folder, or --replace."
            )
    with TemporaryDirectory() as folder:
        path = Path(folder) / CLAIM_FILE
        write_json(path, {"manifest": digest})
        put_in_place_of(bucket, CLAIM_FILE, path, etag, acl)


def check_claim(bucket: Bucket, digest: str) -> None:
    """Refuse to go on when someone else's manifest, a later version's, is on its way by now."""
    if _claimed(bucket)[0] != digest:
        raise _changed(bucket, CLAIM_FILE)


def put_in_place_of(bucket: Bucket, name: str, path: Path, etag: str | None, acl: Mapping[str, Any]) -> None:
    """Put a small file in the place of the object of this ETag, or of none; `TryLater` when another one is there."""
    file = digests(path, WHOLE)
    condition = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    try:
        send(bucket, name, path, file, **condition, **acl)
    except Refused as refused:
        if refused.code not in ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "404"):
            raise
        # The answer to a try that came through may have been lost.
        now = bucket.objects().get(name)
        if now is None or not holds(bucket, name, now, file):
            raise _changed(bucket, name) from None


def _claimed(bucket: Bucket) -> tuple[str, str]:
    content, etag = bucket.read(CLAIM_FILE)
    try:
        return str(json.loads(content)["manifest"]), etag
    except (ValueError, KeyError, TypeError):
        return "unknown", etag


def _changed(bucket: Bucket, name: str) -> TryLater:
    return TryLater(f"{bucket.address}/{name} was changed by someone else meanwhile; publish again.")
