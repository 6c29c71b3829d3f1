"""`outcome.json`: what became of one sample, so that a refusal stops no corpus and is never lost from sight.

Each sample has a folder with `outcome.json` and, when the state is `ok`, `counts.h5ad` beside it. The job of
a refused sample succeeds: its outcome says why it was refused, its group of shards is built from the others,
and the manifest of the corpus lists it under `missing`. Only the user's mistakes become outcomes; a defect of
ours still fails the job.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from velocorpus import names
from velocorpus.errors import UserMistake
from velocorpus.files import existing, read_json, write_json

OUTCOME_FILE = "outcome.json"
COUNTS_FILE = "counts.h5ad"

# The folders of an absolute path: a reason is copied into the manifest, which must not depend on the machine.
_FOLDERS = re.compile(r"(?<![\w./])/(?:[^\s/'\",;:()]+/)+(?=[^\s/])")


@dataclass(frozen=True)
class Outcome:
    """What became of one sample; `counts_digest` is the content digest of its counts, empty when refused."""

    sample: str
    state: Literal["ok", "refused"]
    reason: str = ""
    counts_digest: str = ""


def write_outcome(
    path: Path | str,
    *,
    sample: str,
    state: Literal["ok", "refused"],
    reason: str = "",
    counts_digest: str = "",
) -> Outcome:
    """Write an outcome; folders of absolute paths are cut out of the reason."""
    outcome = Outcome(sample, state, _FOLDERS.sub("", reason), counts_digest)
    write_json(path, asdict(outcome))
    return outcome


def read_outcome(path: Path | str) -> Outcome:
    """Read an outcome that `write_outcome` wrote; anything else is refused."""
    value = read_json(path)
    try:
        outcome = Outcome(**value)
    except TypeError:
        raise UserMistake(f"{path} is not an outcome of a sample; run the sample's job again.") from None
    if outcome.state not in ("ok", "refused"):
        raise UserMistake(f"{path}: state '{outcome.state}' is unknown, allowed are ok and refused.")
    return outcome


def counts_of(path: Path | str) -> Path:
    """The counts file that belongs to an `ok` outcome: `counts.h5ad` in the same folder."""
    return Path(path).parent / COUNTS_FILE


@contextmanager
def recording_outcome(path: Path | str, sample: str, counts: Path | str | None = None) -> Iterator[None]:
    """Write `ok` when the block ends, `refused` when it raises a `UserMistake`, which ends there.

    `counts` is the counts file that the block writes (default: `counts.h5ad` beside `path`); an `ok` outcome
    carries its content digest. An older counts file is removed first, so that a refused sample has none.
    """
    counts = Path(counts) if counts is not None else counts_of(path)
    counts.unlink(missing_ok=True)
    try:
        yield
        digest = stored_digest(counts)
    except UserMistake as mistake:
        counts.unlink(missing_ok=True)
        outcome = write_outcome(path, sample=sample, state="refused", reason=str(mistake))
        print(f"velocorpus: sample {sample} is refused: {outcome.reason}", file=sys.stderr)
    else:
        write_outcome(path, sample=sample, state="ok", counts_digest=digest)


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
