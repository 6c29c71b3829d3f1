"""One builder at a time: a lock beside the corpus, which the system takes back from a killed holder.

`flock(2)` on `.<corpus>.lock` beside the directory, since a build replaces the directory itself. Linux carries it over
NFS (to every host, where the server's lock service runs); a file system without locks is named on stderr, and the
work goes on. Readers take no lock: the manifest is written last, and no shard that it names is ever changed.
"""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from velocorpus.corpus import schema
from velocorpus.corpus.storage import require_folder
from velocorpus.errors import TryLater

# Where a change keeps the totals of new samples, inside the corpus.
TOTALS_ASIDE = ".totals."


@contextmanager
def locked(corpus: Path | str, *, shared: bool = False) -> Iterator[None]:
    """Hold the corpus for writing; refused (`TryLater`) while another holds it.

    `shared` is for jobs that write shards of their own, many at once; they and who writes the manifest exclude each
    other.
    """
    require_folder(corpus)
    corpus = Path(corpus).resolve()
    path = corpus.with_name(f".{corpus.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _take(path, corpus, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    try:
        if not shared:
            _sweep(corpus)
        yield
    finally:
        # The last one to go takes the file along: who opened it meanwhile sees that its name is gone.
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        os.close(handle)


def _sweep(corpus: Path) -> None:
    """Delete what killed writers left aside, and nothing that has a name of its own: nobody writes now."""
    folders = (schema.SHARDS_FOLDER, schema.VERSIONS_FOLDER)
    files = (schema.MANIFEST_FILE, schema.GENES_FILE, schema.SAMPLES_FILE)
    for pattern in (f"{TOTALS_ASIDE}*", *(f".{name}.*" for name in files), *(f"{name}/.*" for name in folders)):
        for path in corpus.glob(pattern):
            shutil.rmtree(path, ignore_errors=True)


def _take(path: Path, corpus: Path, kind: int) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise TryLater(
                f"The corpus {corpus} is being written by another process; try again when it is done."
            ) from None
        except OSError as error:
            print(f"{path}: its file system has no locks ({error}); let no second builder near it", file=sys.stderr)
            return handle
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), path.stat()):
                return handle
        os.close(handle)
