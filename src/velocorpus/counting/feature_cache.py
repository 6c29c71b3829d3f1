"""Transcript models and features of a GTF, kept between runs, so that counting starts at once.

A cache file is known by the SHA-256 of the GTF's bytes, the code that reads it and the corrections asked for, so it is
never out of date; it is written aside and renamed, so it is never half there; what is broken in spite of that is made
again. A folder that cannot be written to costs time only. In `cache_folder` the `N_KEPT` files that were used last are
kept.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from velocorpus.compiled import source_digest
from velocorpus.counting import features
from velocorpus.counting.corrections import CHROMOSOME_NAMES, LONG_INTRON, TOUCHING_EXONS
from velocorpus.counting.features import Features, build_features
from velocorpus.files import cache_folder, existing, replacing, sha256, write_text
from velocorpus.reference.gtf import TranscriptModels, read_gtf

FORMAT = 1
N_KEPT = 20
CLOCK_GRAIN = 2.0  # seconds within which two changes of a file may bear one time, on the coarsest file systems


def cached_features(
    gtf: Path | str, correct: frozenset[str] = frozenset(), *, say: Callable[[str], None] = lambda line: None
) -> tuple[TranscriptModels, Features, str]:
    """`read_gtf`, `build_features` and the models' digest, from the cache where it has them; refusals are `read_gtf`'s.

    `say` is told in one line of a cache file that was broken and of a cache that could not be written.
    """
    key = _key(Path(gtf), correct)
    path = cache_folder() / f"features-{key}.npz"
    try:
        found = _load(path, key)
        os.utime(path)
        return found
    except (FileNotFoundError, NotADirectoryError):
        pass
    except PermissionError as error:
        say(f"the cache {path} cannot be used ({error.strerror}); the GTF is read again")
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        say(f"the cache {path} is broken; it is made again")
    models = read_gtf(gtf)
    made = models, build_features(models, correct), models.digest()
    try:
        _store(path, key, *made)
        for kind in ("features-*.npz", "seen-*"):
            for old in sorted(path.parent.glob(kind), key=lambda p: -p.stat().st_mtime)[N_KEPT:]:
                old.unlink(missing_ok=True)
    except OSError as error:
        say(f"the cache {path.parent} cannot be kept ({error.strerror}); the next run reads the GTF again")
    return made


def _key(gtf: Path, correct: frozenset[str]) -> str:
    asked = sorted(correct & {CHROMOSOME_NAMES, LONG_INTRON, TOUCHING_EXONS})
    return hashlib.sha256(
        "\n".join([str(FORMAT), _content(gtf), source_digest(features.__name__), *asked]).encode()
    ).hexdigest()


def _content(gtf: Path) -> str:
    """The SHA-256 of a file; of one that has not changed since it was last asked for, as it was then.

    A GTF of gigabytes takes seconds to read. As git does, a file is taken for unchanged if inode, size and all times
    are; one that was changed just now may change again within the clock's grain, and is not remembered.
    """
    stat = existing(gtf, "GTF").stat()
    known = (FORMAT, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    seen = cache_folder() / f"seen-{hashlib.sha256(repr(known).encode()).hexdigest()}"
    with contextlib.suppress(OSError):
        if re.fullmatch("[0-9a-f]{64}", before := seen.read_bytes().decode("latin-1")):
            return before
    content = sha256(gtf)
    if time.time() - max(stat.st_mtime, stat.st_ctime) > CLOCK_GRAIN:
        with contextlib.suppress(OSError):  # told of where the features are kept
            write_text(seen, content)
    return content


def _store(path: Path, key: str, models: TranscriptModels, built: Features, digest: str) -> None:
    arrays = {"key": _as_bytes([key]), "digest": _as_bytes([digest])}
    for name, value in (("models", models), ("features", built)):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            arrays[f"{name}.{field.name}"] = part if isinstance(part, np.ndarray) else _as_bytes(part)
    with replacing(path) as aside:
        np.savez(aside, **arrays)  # type: ignore[arg-type]


def _load(path: Path, key: str) -> tuple[TranscriptModels, Features, str]:
    with path.open("rb") as file, np.load(file) as arrays:
        if _as_words(arrays["key"]) != (key,):
            raise ValueError("another GTF's")
        parts: dict[str, dict[str, Any]] = {"models": {}, "features": {}}
        for name in arrays.files:
            group, _, field = name.partition(".")
            if group in parts:
                parts[group][field] = arrays[name]
        (digest,) = _as_words(arrays["digest"])
    models: dict[str, Any] = {name: _as_words(a) if a.dtype == np.uint8 else a for name, a in parts["models"].items()}
    names = _as_words(parts["features"].pop("chromosomes"))
    numbered = {name: c for c, name in enumerate(names)}
    return TranscriptModels(**models), Features(chromosomes=numbered, **parts["features"]), digest


def _as_bytes(words: Any) -> np.ndarray:
    """Words as bytes, each ended by a newline, which no GTF can have inside one."""
    return np.frombuffer("".join(f"{word}\n" for word in words).encode(), dtype=np.uint8)


def _as_words(text: np.ndarray) -> tuple[str, ...]:
    return tuple(text.tobytes().decode().split("\n")[:-1])
