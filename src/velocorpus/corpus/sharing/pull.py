"""Bring a published corpus, or a part of it, here: every file held against the SHA-256 that the manifest gives.

Files gather in `{out}.part`, which outlives a kill, so that the next run goes on from there; what an older copy at
`out` has already is linked, not fetched. Only when all is there does the folder get its name.
"""

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from velocorpus import names
from velocorpus.config import FetchConfig
from velocorpus.corpus import schema
from velocorpus.corpus.bucket import Bucket
from velocorpus.corpus.changing.part import write_part
from velocorpus.corpus.lock import locked
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.sharing.card import write_card
from velocorpus.corpus.sharing.contents import CARD_FILE, COPIES, STUDIES_FILE, TABLES, contents
from velocorpus.errors import TryLater, UserMistake
from velocorpus.files import sha256
from velocorpus.reads.fetch.parts import PART_BYTES, PROGRESS_S, Parts, amount
from velocorpus.reads.fetch.s3 import S3Source
from velocorpus.reads.fetch.transfer import transfer

# What a pulled corpus consists of; a folder with anything else in it is not replaced.
_OURS = {schema.MANIFEST_FILE, schema.SHARDS_FOLDER, schema.VERSIONS_FOLDER, *COPIES}
_INSTEAD = "--endpoint names another store, --requester-pays says that you pay, --unsigned asks without credentials"


def pull(
    address: str,
    out: Path | str,
    *,
    where: Mapping[str, Sequence[str]] | None = None,
    version: int | None = None,
    how: FetchConfig | None = None,
    wait_s: float = 1.0,
    part_bytes: int = PART_BYTES,
) -> Path:
    """Bring the corpus at `s3://bucket/folder` to the folder `out`: its newest version or `version`, or a part of it.

    The whole equals what was published byte by byte. A part is of the samples with one of the values of `where` in each
    of its columns of samples.feather, and a corpus of its own (see `part`), which needs room for the shards that hold
    its cells, and for itself. A corpus at `out` is replaced when it is an earlier version, or a part of one. Raises
    `UserMistake` for what is not there or not allowed and for bytes that are not the manifest's, `TryLater` for a
    transfer that kept breaking and a corpus that was replaced meanwhile.
    """
    bucket, out = Bucket(address, how or FetchConfig(), wait_s, instead=_INSTEAD), Path(out).resolve()
    chosen = {column: list(values) for column, values in (where or {}).items() if values}
    versions = _versions(bucket, version)
    digest = versions[0][0]
    try:
        files = contents(versions)
    except (KeyError, TypeError):
        raise UserMistake(f"{bucket.address} has a manifest that is not a corpus'; check the address.") from None
    _check_place(out, {one for one, _ in versions})
    work = out.with_name(out.name + ".part")
    with locked(out):
        work.mkdir(parents=True, exist_ok=True)
        made, whole = work / f"{digest[:16]}-{_short(chosen)}", work / "whole"
        for other in work.iterdir():
            if other not in (made, whole):
                shutil.rmtree(other)
        bring = _Puller(bucket, out, part_bytes)
        try:
            if chosen:
                _part(bring, versions[0], whole, made, chosen)
            else:
                _whole(bring, versions[0], files, made)
        except UserMistake:
            if version is None and _versions(bucket, None)[0][0] != digest:
                raise TryLater(f"{bucket.address} was replaced while it was pulled; run again.") from None
            raise
        if out.exists():
            out.rename(work / "replaced")
        made.rename(out)
        shutil.rmtree(work)
    return out


def _versions(bucket: Bucket, version: int | None) -> list[tuple[str, dict[str, Any]]]:
    """SHA-256 and value of the manifest wanted and of every version before it, each as the next one names it."""
    content, _ = bucket.read(schema.MANIFEST_FILE)
    try:
        manifest = json.loads(content)
        newest, found = int(manifest["version"]), manifest["schema_version"]
    except (ValueError, KeyError, TypeError):
        raise UserMistake(
            f"{bucket.address}/{schema.MANIFEST_FILE} is not a corpus' manifest; check the address."
        ) from None
    if found != schema.SCHEMA_VERSION:
        raise UserMistake(
            f"{bucket.address} has corpus schema {found}, this version reads {schema.SCHEMA_VERSION}; pull it "
            "with the velocorpus that published it, and `velocorpus corpus convert` brings version 1 up to date."
        )
    if version is not None and not 1 <= version <= newest:
        raise UserMistake(f"{bucket.address} has versions 1 to {newest}, not {version}.")
    versions = [(hashlib.sha256(content).hexdigest(), manifest)]
    for number in range(newest - 1, 0, -1):
        name, digest = f"{schema.VERSIONS_FOLDER}/{number}.json", versions[-1][1]["follows"]
        content, _ = bucket.read(name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise UserMistake(
                f"{bucket.address}/{name} is not what the next version names: it is damaged, or is being replaced; "
                "run again, or ask its publisher."
            )
        versions.append((digest, json.loads(content)))
    return versions if version is None else versions[newest - version :]


def _check_place(out: Path, versions: set[str]) -> None:
    """Refuse to replace what is not an earlier copy of the same corpus."""
    if not out.exists():
        return
    strange = sorted(path.name for path in out.iterdir() if path.name not in _OURS) if out.is_dir() else [out.name]
    if strange or not (out / schema.MANIFEST_FILE).exists():
        raise UserMistake(
            f"{out} is there and is not just a corpus ({strange[:1] or 'no manifest'}); give a new folder."
        )
    here = Corpus(out)
    if not versions & {here.digest, here.manifest.get("subset", {}).get("of")}:
        raise UserMistake(f"{out} holds another corpus, or a later version; give a new folder.")


def _whole(bring: "_Puller", newest: tuple[str, dict[str, Any]], files: dict[str, dict[str, Any]], made: Path) -> None:
    """All files, of all versions; the card of the bucket when it is this version's."""
    digest, manifest = newest
    bring.all(made, files.values())
    for name, table in TABLES.items():
        shutil.copyfile(made / manifest["files"][name]["path"], made / table)
    shutil.copyfile(made / schema.VERSIONS_FOLDER / f"{manifest['version']}.json", made / schema.MANIFEST_FILE)
    known = {*files, *COPIES, schema.MANIFEST_FILE}
    for path in made.rglob("*"):
        if path.is_file() and str(path.relative_to(made)) not in known:
            path.unlink()
    for name in (STUDIES_FILE, CARD_FILE):
        (made / name).write_bytes(bring.bucket.read(name)[0])
    if digest not in (made / CARD_FILE).read_text(encoding="utf-8"):
        _own_card(made, (made / STUDIES_FILE).read_text(encoding="utf-8"))


def _part(
    bring: "_Puller", newest: tuple[str, dict[str, Any]], whole: Path, made: Path, where: dict[str, list[str]]
) -> None:
    """Bring the shards that may hold wanted cells, of them make a corpus of its own."""
    digest, manifest = newest
    version = {"path": f"{schema.VERSIONS_FOLDER}/{manifest['version']}.json", "sha256": digest}
    bring.all(whole, [version, *manifest["files"].values()])
    shutil.copyfile(whole / version["path"], whole / schema.MANIFEST_FILE)
    corpus = Corpus(whole)
    wanted = corpus.samples_of(where=where)
    rows = [row for row in corpus.samples.to_pylist() if row[names.SAMPLE] in wanted]
    splits = {row["split"] for row in rows}
    shards = [
        entry
        for entry in manifest["shards"]
        if entry["rows"] and entry["split"] in splits and not set(wanted).isdisjoint(entry.get("samples", wanted))
    ]
    bring.all(whole, shards)
    corpus.manifest = manifest | {"shards": shards}
    write_part(corpus, made, where=where)
    _own_card(made, bring.bucket.read(STUDIES_FILE)[0].decode())


def _own_card(made: Path, studies: str) -> None:
    """The card of what is not the newest version, or not whole; `studies.tsv` may tell of others too."""
    corpus = Corpus(made)
    known, (header, *lines) = set(corpus.samples[names.STUDY].to_pylist()), studies.splitlines(keepends=True)
    mine = [line for line in lines if line.split("\t")[0] in known]
    (made / STUDIES_FILE).write_text("".join([header, *mine]), encoding="utf-8")
    write_card(corpus, made)


class _Puller:
    """Files of a bucket to a folder, several at once."""

    def __init__(self, bucket: Bucket, here: Path, part_bytes: int):
        self.bucket, self.here, self.part_bytes = bucket, here, part_bytes
        self.lock, self.said, self.n_bytes = threading.Lock(), time.monotonic(), 0

    def all(self, folder: Path, entries: Iterable[dict[str, Any]]) -> None:
        """Bring the files that are not there, by `path`, `sha256` and perhaps `bytes`."""
        with ThreadPoolExecutor(self.bucket.how.parallel) as pool:
            jobs = [pool.submit(self.one, folder, entry) for entry in entries]
            try:
                for job in as_completed(jobs):
                    job.result()
            except BaseException:
                self.bucket.halt.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def one(self, folder: Path, entry: dict[str, Any]) -> None:
        """Bring one file, from the older copy here where that has it."""
        path, old = folder / entry["path"], self.here / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and sha256(path) == entry["sha256"]:
            return
        if old.exists() and sha256(old) == entry["sha256"]:
            path.unlink(missing_ok=True)
            _link(old, path)
        else:
            self.fetch(entry, path)

    def fetch(self, entry: dict[str, Any], path: Path) -> None:
        """One file, which gets its name when it is what the manifest says; damaged bytes are fetched twice more."""
        how = self.bucket.how
        address = f"s3://{self.bucket.bucket}/{self.bucket.folder}{entry['path']}"
        source = S3Source(address, client=self.bucket.client, requester_pays=how.s3_requester_pays)
        with Parts(path.with_name(path.name + ".part"), self.part_bytes) as parts:
            for last_try in (False, False, True):
                # Files come side by side, so each over one connection.
                transfer(
                    source,
                    parts,
                    parallel=1,
                    retries=how.retries,
                    timeout_s=how.timeout_s,
                    wait_s=self.bucket.wait_s,
                )
                if sha256(parts.path) == entry["sha256"]:
                    break
                parts.forget()
                if last_try:
                    raise UserMistake(
                        f"{address} is not what the manifest says (SHA-256); it is damaged: ask its publisher."
                    )
                print(f"{address} came damaged; it is fetched again.", file=sys.stderr, flush=True)
            parts.become(path)
        with self.lock:
            self.n_bytes += path.stat().st_size
            if time.monotonic() - self.said > PROGRESS_S:
                self.said = time.monotonic()
                print(f"{amount(self.n_bytes)} here and verified", file=sys.stderr, flush=True)


def _short(where: Mapping[str, Sequence[str]]) -> str:
    return hashlib.sha256(json.dumps(where, sort_keys=True).encode()).hexdigest()[:16]


def _link(old: Path, path: Path) -> None:
    try:
        os.link(old, path)
    except OSError:
        # Some file systems have no hard links.
        shutil.copyfile(old, path)
