"""Publish a corpus as a folder of a bucket, so that a reader sees it whole, as it was before, or not at all.

What a reader goes by is `manifest.json`: it goes up last, when a listing has shown every object that it names, and
only in the place of the manifest that was there when publishing began. What that one names is never rewritten. Shards
that only older versions name stay, for those who read one, until the corpus' own `prune` has taken them out and the
publisher says `prune` here. `publishing.json` says which manifest is on its way, so that two corpora are not sent to
one place at once; it stays, and is closed by the manifest that it names.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from velocorpus.config import FetchConfig
from velocorpus.corpus import schema
from velocorpus.corpus.bucket import Bucket, Refused, Remote
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.sharing.card import write_card
from velocorpus.corpus.sharing.claim import CLAIM_FILE, OURS, WHOLE, check_claim, claim, put_in_place_of, standing
from velocorpus.corpus.sharing.contents import CARD_FILE, COPIES, STUDIES_FILE, TABLES, contents
from velocorpus.corpus.sharing.upload import PART_BYTES, Digests, digests, holds, send
from velocorpus.corpus.verify import verify
from velocorpus.errors import TryLater, UserMistake
from velocorpus.files import read_json
from velocorpus.reads.fetch.parts import PROGRESS_S, amount

_INSTEAD = "--endpoint names another store, --requester-pays says that you pay"


@dataclass
class Published:
    """What publishing did: objects and bytes sent, objects that were there already, objects removed."""

    sent: int = 0
    sent_bytes: int = 0
    equal: int = 0
    removed: int = 0


def publish(
    folder: Path | str,
    address: str,
    *,
    how: FetchConfig | None = None,
    public: bool = False,
    prune: bool = False,
    replace: bool = False,
    wait_s: float = 1.0,
    part_bytes: int = PART_BYTES,
) -> Published:
    """Bring the corpus `folder` to `s3://bucket/folder`: only what is not there yet, the manifest last.

    `public`: anyone may read each object (an ACL). `prune`: when all is there, objects that this version does not name
    are removed. `replace`: another corpus there is taken away first, its manifest before all, and pruned. `wait_s`:
    seconds before the second try of a request that broke. Refused: a corpus that does not verify, a folder of other
    things, another corpus, a later version of this one. Raises `TryLater` for what kept breaking, and when someone else
    published there meanwhile.
    """
    bucket = Bucket(address, how or FetchConfig(), wait_s, instead=_INSTEAD)
    # Before the long check: a wrong address, a missing right.
    bucket.objects()
    faults = verify(folder)
    if faults:
        raise UserMistake(f"{faults[0]} ({len(faults)} fault(s); a broken corpus is not published.)")
    corpus = Corpus(folder)
    with TemporaryDirectory() as made:
        write_card(corpus, made)
        files = {name: (Path(made) / name, "") for name in (STUDIES_FILE, CARD_FILE)}
        files |= {name: (corpus.path / path, digest) for name, path, digest in _files(corpus)}
        return _Publisher(bucket, corpus, files, {"ACL": "public-read"} if public else {}, part_bytes).run(
            prune=prune, replace=replace
        )


def _files(corpus: Corpus) -> Iterator[tuple[str, str, str]]:
    """Name, path and SHA-256 of a corpus' files but its manifest and card.

    Paths are of files that nothing rewrites: someone may grow the corpus meanwhile.
    """
    for name, table in TABLES.items():
        yield table, corpus.manifest["files"][name]["path"], corpus.manifest["files"][name]["sha256"]
    versions, digest = [], corpus.digest
    for version in range(corpus.manifest["version"], 0, -1):
        versions.append((digest, read_json(corpus.path / schema.VERSIONS_FOLDER / f"{version}.json")))
        digest = versions[-1][1]["follows"]
    for path, entry in contents(versions).items():
        yield path, path, entry["sha256"]


@dataclass
class _Publisher:
    bucket: Bucket
    corpus: Corpus
    files: dict[str, tuple[Path, str]]
    acl: dict[str, str]
    part_bytes: int
    done: Published = field(default_factory=Published)
    lock: Any = field(default_factory=threading.Lock)
    said: float = field(default_factory=time.monotonic)

    def run(self, *, prune: bool, replace: bool) -> Published:
        there = self.bucket.objects()
        before = standing(self.bucket, there, self.corpus, self._versions, self._holds, replace=replace)
        claim(self.bucket, self.corpus.digest, self._versions, before, there, self.acl, replace=replace)
        if replace and before and before[0] != self.corpus.digest:
            self.bucket.ask("delete_object", schema.MANIFEST_FILE)
            before = None
        uploads = self.bucket.uploads()
        arrived = self._send([n for n in self.files if n not in COPIES], there, uploads)
        check_claim(self.bucket, self.corpus.digest)
        arrived |= self._send([n for n in self.files if n in COPIES], there, uploads)
        # Of an upload whose beginning was not answered nobody else knows.
        for name, ids in self.bucket.uploads().items():
            for upload in ids if OURS.fullmatch(name) else ():
                self._abort(name, upload)
        listed = self.bucket.objects()
        for name, remote in arrived.items():
            if listed.get(name) != remote:
                raise TryLater(f"{self.bucket.address}/{name} was changed by someone else meanwhile; publish again.")
        if before is None or before[0] != self.corpus.digest:
            path, _ = self.files[f"{schema.VERSIONS_FOLDER}/{self.corpus.manifest['version']}.json"]
            put_in_place_of(self.bucket, schema.MANIFEST_FILE, path, before and before[1], self.acl)
            self.done.sent += 1
        if prune or replace:
            self._prune(listed)
        return self.done

    @property
    def _versions(self) -> set[str]:
        """SHA-256 of each version's manifest."""
        return {digest for name, (_, digest) in self.files.items() if name.endswith(".json")}

    def _send(self, names: Iterable[str], there: dict[str, Remote], uploads: dict[str, list[str]]) -> dict[str, Remote]:
        """Send the files that are not there; what each object is now."""
        arrived = {}
        with ThreadPoolExecutor(self.bucket.how.parallel) as pool:
            jobs = {pool.submit(self._send_one, name, there.get(name), uploads.get(name, [])): name for name in names}
            try:
                for job in as_completed(jobs):
                    arrived[jobs[job]] = job.result()
            except BaseException:
                self.bucket.halt.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return arrived

    def _send_one(self, name: str, there: Remote | None, unfinished: list[str]) -> Remote:
        file = self._digests(name)
        if there is not None and holds(self.bucket, name, there, file):
            if self.acl:
                self.bucket.ask("put_object_acl", name, **self.acl)
            self._count(equal=1)
            return there
        there = send(self.bucket, name, self.files[name][0], file, unfinished, **self.acl)
        self._count(sent=1, sent_bytes=file.size)
        return there

    def _digests(self, name: str) -> Digests:
        path, digest = self.files[name]
        file = digests(path, self.part_bytes if path.suffix == ".feather" else WHOLE)
        if digest and file.sha256 != digest:
            raise UserMistake(f"{path} was changed while the corpus was published; restore it and publish again.")
        return file

    def _holds(self, name: str, there: Remote) -> bool:
        return holds(self.bucket, name, there, self._digests(name))

    def _count(self, **more: int) -> None:
        with self.lock:
            for key, value in more.items():
                setattr(self.done, key, getattr(self.done, key) + value)
            if time.monotonic() - self.said > PROGRESS_S:
                self.said, done = time.monotonic(), self.done
                of = f"{done.sent + done.equal} of {len(self.files) + 1} objects are there"
                print(f"{of}, {amount(done.sent_bytes)} sent", file=sys.stderr, flush=True)

    def _abort(self, name: str, upload: str) -> None:
        try:
            self.bucket.ask("abort_multipart_upload", name, UploadId=upload)
        except Refused as refused:
            if refused.code != "NoSuchUpload":
                raise

    def _prune(self, listed: dict[str, Remote]) -> None:
        kept = {*self.files, schema.MANIFEST_FILE, CLAIM_FILE}
        for name in listed:
            if OURS.fullmatch(name) and name not in kept:
                self.bucket.ask("delete_object", name)
                self.done.removed += 1
