"""Delete the shards that only older versions of a corpus need, on record."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from velocorpus.corpus import schema
from velocorpus.corpus.building.manifest import write_version
from velocorpus.corpus.lock import locked
from velocorpus.corpus.reader import Corpus
from velocorpus.files import read_json

Say = Callable[[str], None]


def prune(folder: Path | str, *, say: Say = lambda line: None) -> list[Path]:
    """Delete the shard files that only older versions name; the next version's manifest lists them.

    Older versions then open, but what was deleted cannot be read. Nothing to delete: no new version.
    """
    with locked(folder):
        corpus = Corpus(folder)
        used = {entry["path"] for entry in corpus.manifest["shards"]}
        older = {entry["path"] for manifest in older_versions(corpus) for entry in manifest["shards"]} - used
        pruned = set(corpus.manifest.get("pruned", []))
        doomed = [corpus.path / name for name in sorted(older) if (corpus.path / name).exists()]
        if older - pruned:
            # The record first: a kill leaves files that the next call deletes, never a loss without a record.
            changed = {"version": corpus.manifest["version"] + 1, "follows": corpus.digest, "pruned": sorted(older)}
            write_version(corpus.path, corpus.manifest | changed)
        for path in doomed:
            say(f"{path} deleted")
            path.unlink()
        return doomed


def older_versions(corpus: Corpus) -> list[dict[str, Any]]:
    """The manifests of all versions before this one, the first one first."""
    folder = corpus.path / schema.VERSIONS_FOLDER
    return [read_json(folder / f"{version}.json") for version in range(1, corpus.manifest["version"])]
