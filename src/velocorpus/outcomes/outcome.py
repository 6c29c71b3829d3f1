"""`outcome.json`: what became of one sample, so that a refusal stops no corpus and is never lost from sight.

Each sample has a folder with `outcome.json` and, when the state is `ok`, `counts.h5ad` beside it. Every other state
says at which stage the sample was set aside, and why:

    refused   its own files or its row are wrong: another try would end the same
    failed    something else went wrong, as often as it was tried: another try may succeed
    skipped   its row in samples.tsv asks for it

The same JSON stands in place of each file that an earlier stage of a sample owes (`refusal_at`).
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, write_json

OUTCOME_FILE = "outcome.json"
COUNTS_FILE = "counts.h5ad"
State = Literal["ok", "refused", "failed", "skipped"]

# The folders of an absolute path: a reason is copied into the manifest, which must not depend on the machine.
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/'\",;:()]+/)+(?=[^\s/])")
_LARGEST = 100_000  # bytes of an outcome; reads that begin with a brace are not read whole to find out


@dataclass(frozen=True)
class Outcome:
    """What became of one sample; `counts_digest` is the content digest of its counts, empty when set aside."""

    sample: str
    state: State
    reason: str = ""
    counts_digest: str = ""
    stage: str = ""


def write_outcome(
    path: Path | str, *, sample: str, state: State, reason: str = "", counts_digest: str = "", stage: str = ""
) -> Outcome:
    """Write an outcome; folders of absolute paths are cut out of the reason."""
    outcome = Outcome(sample, state, _FOLDERS.sub("", reason), counts_digest, stage)
    write_json(path, asdict(outcome))
    return outcome


def read_outcome(path: Path | str) -> Outcome:
    """Read an outcome that `write_outcome` wrote; anything else is refused."""
    value = read_json(path)
    try:
        outcome = Outcome(**value)
    except TypeError:
        raise UserMistake(f"{path} is not an outcome of a sample; run the sample's job again.") from None
    if outcome.state not in get_args(State):
        raise UserMistake(f"{path}: state '{outcome.state}' is unknown, allowed are {', '.join(get_args(State))}.")
    return outcome


def refusal_at(path: Path | str) -> Outcome | None:
    """The outcome of a sample that was set aside, where it stands in place of the file `path`; None otherwise."""
    path = Path(path)
    if not path.is_file() or path.stat().st_size > _LARGEST:
        return None
    with path.open("rb") as handle:
        if handle.read(1) != b"{":
            return None
    try:
        outcome = read_outcome(path)
    except UserMistake:
        return None
    return None if outcome.state == "ok" else outcome


def counts_of(path: Path | str) -> Path:
    """The counts file that belongs to an `ok` outcome: `counts.h5ad` in the same folder."""
    return Path(path).parent / COUNTS_FILE


def stored_digest(counts: Path | str) -> str:
    """The content digest that a counts file states of itself, without loading its matrices."""
    return _stored(counts, "content_digest")


def stored_sample(counts: Path | str) -> str:
    """The sample that a counts file is of, without loading its matrices."""
    return _stored(counts, "sample")


def _stored(counts: Path | str, key: str) -> str:
    import h5py

    try:
        with h5py.File(existing(counts, "counts file"), "r") as handle:
            return str(handle[f"uns/{names.UNS}/{key}"].asstr()[()])
    except (OSError, KeyError):
        raise UserMistake(f"{counts} is not a counts file of velocorpus; make it again.") from None
