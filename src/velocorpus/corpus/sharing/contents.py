"""What a published corpus consists of: the names of its files, and the bytes that its manifests say they have."""

import re
from collections.abc import Sequence
from typing import Any

from velocorpus.corpus import schema
from velocorpus.errors import UserMistake

CARD_FILE = "README.md"
STUDIES_FILE = "studies.tsv"
# Copies of the newest version's tables and what people read: each version writes them anew, the manifest names none.
TABLES = {"genes": schema.GENES_FILE, "samples": schema.SAMPLES_FILE}
# A manifest may come from a stranger: what it names must lie in the corpus.
_NAME = re.compile(rf"({schema.SHARDS_FOLDER}|{schema.VERSIONS_FOLDER})/[A-Za-z0-9_][A-Za-z0-9_.-]*")
COPIES = (*TABLES.values(), STUDIES_FILE, CARD_FILE)


def contents(versions: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """`path`, `sha256` and, of shards, `bytes` of every file of a corpus by name, without `COPIES` and `manifest.json`.

    `versions`: SHA-256 and value of each version's manifest, the newest first. Shards that only older versions name
    are of the corpus too, until its manifest lists them as `pruned`; what was made anew in its place is the newer one.
    Refused: names of files elsewhere.
    """
    newest = versions[0][1]
    files, pruned = {entry["path"]: entry for entry in newest["shards"]}, newest.get("pruned", ())
    for digest, manifest in versions:
        path = f"{schema.VERSIONS_FOLDER}/{manifest['version']}.json"
        shards = (entry for entry in manifest["shards"] if entry["path"] not in pruned)
        for entry in ({"path": path, "sha256": digest}, *manifest["files"].values(), *shards):
            files.setdefault(entry["path"], entry)
    for path in files:
        if not _NAME.fullmatch(path):
            raise UserMistake(f"The manifest names '{path}', which is no file of a corpus; trust nothing of it.")
    return files
