"""Files that are either whole or absent, and digests of what is in them."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from velocorpus.errors import UserMistake


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or a folder at; it takes the name `path` only if the block succeeds.

    A kill at any moment leaves `path` as it was before. The folder of `path` is made when absent; a folder that
    already stands at `path` is replaced whole.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield aside / path.name
        if path.is_dir() and not path.is_symlink():
            path.rename(aside / "replaced")
        (aside / path.name).rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as JSON with sorted keys, so that equal values are equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> dict[str, Any]:
    """The object in a JSON file; a missing or broken file, or one that holds another value, is the user's mistake."""
    with open_text(path) as text:
        return parse_json(text.read(), path)


def parse_json(content: str | bytes, path: Path | str) -> dict[str, Any]:
    """The object that the content of the file `path` spells."""
    try:
        value = json.loads(content)
    except ValueError as error:
        raise UserMistake(f"{path} is not JSON ({error}); make it again or restore it.") from None
    if not isinstance(value, dict):
        raise UserMistake(f"{path} holds a {type(value).__name__}, not the object that was written; restore it.")
    return value


def existing(path: Path | str, what: str = "file") -> Path:
    """`path`, or a `UserMistake` that says which `what` is missing."""
    path = Path(path)
    if not path.exists():
        raise UserMistake(f"The {what} {path} does not exist; check the path (working folder: {Path.cwd()}).")
    return path


@contextmanager
def open_text(path: Path | str) -> Iterator[IO[str]]:
    """Open a plain or gzip-compressed text file for reading, told apart by content.

    A folder, a gzip stream that is cut or damaged and bytes that are no UTF-8 are the user's mistake.
    """
    with open_bytes(path) as raw, io.TextIOWrapper(raw, encoding="utf-8") as lines:
        yield lines


@contextmanager
def open_bytes(path: Path | str) -> Iterator[gzip.GzipFile | io.BufferedReader]:
    """Open a plain or gzip-compressed text file as bytes; refusals are those of `open_text`."""
    path = existing(path)
    if path.is_dir():
        raise UserMistake(f"{path} is a folder; give the file.")
    with path.open("rb") as raw:
        compressed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as content:
            yield content
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise UserMistake(f"{path} cannot be read as text to its end ({error}); copy it again.") from None


def cache_folder() -> Path:
    """Where what can be made again is kept: $VELOCORPUS_CACHE, or velocorpus in $XDG_CACHE_HOME or ~/.cache."""
    if own := os.environ.get("VELOCORPUS_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "velocorpus"
    except RuntimeError:  # a user without a home, as in containers: nothing can be kept
        return Path(os.devnull) / "velocorpus"


def sha256(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with existing(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
