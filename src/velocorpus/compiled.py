"""`@compiled`: numba's `njit`, kept between runs in a cache that cannot be stale.

numba's own cache looks at the time of the file that a function stands in, and at nothing that the function calls or
takes constants from: after a change there it goes on with the old machine code, and counts wrongly without a word. Here
a function is cached under a digest of its module and of every velocorpus module that it imports, directly or not. The
cache is in the folder of `cache_folder`; where that cannot be written, functions are compiled anew in every process.
"""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numba

from velocorpus.files import cache_folder

_IMPORT = re.compile(r"^from (velocorpus[\w.]*) import (?:\(([^)]*)\)|(.*))|^import (velocorpus[\w.]*)", re.MULTILINE)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile on the first call, without the interpreter's lock, and without checks of bounds: the caller's duty."""
    root = cache_folder() / "compiled"
    settings: Any = numba.config
    settings.CACHE_DIR, before = str(root / source_digest(function.__module__)), settings.CACHE_DIR
    try:
        return numba.njit(nogil=True, cache=_is_writable(root))(function)
    finally:
        settings.CACHE_DIR = before


@cache
def source_digest(module: str) -> str:
    """SHA-256 of a module's source and of those it imports, with the versions of what compiles them."""
    seen: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen[name] = source = _source(name)
        for package, several, one, plain in _IMPORT.findall(source.decode()):
            # `from velocorpus.counting import rules` may name a module.
            inside = [f"{package}.{member.strip()}" for member in (several or one).split(",")]
            waiting += [found for found in (package or plain, *inside) if _is_module(found)]
    versions = f"{numba.__version__} {sys.version} {os.environ.get('NUMBA_BOUNDSCHECK', '')}"
    whole = b"\0".join([versions.encode(), *(seen[name] for name in sorted(seen))])
    return hashlib.sha256(whole).hexdigest()[:16]


def _source(module: str) -> bytes:
    loaded = sys.modules.get(module)
    origin = getattr(loaded, "__file__", None) or getattr(find_spec(module), "origin", None)
    return Path(origin).read_bytes() if origin else b""


@cache
def _is_module(name: str) -> bool:
    try:
        return name in sys.modules or find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _is_writable(folder: Path) -> bool:
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if folder.is_dir() and os.access(folder, os.W_OK):
        return True
    print(f"{folder} cannot be written: functions are compiled anew in every process", file=sys.stderr)
    return False
