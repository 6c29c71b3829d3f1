"""Kill each change of a corpus at each of its renames: it must be at a version, and the same command must end it.

python -m tests.drills.corpus_kills

A child runs `velocorpus corpus …` and sends itself SIGKILL at its n-th rename, for every n that it has.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.unit.corpus.corpus_makers import MOUSE, make_corpus, make_counts

from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.verify import verify

CHILD = """
import os, pathlib, signal, sys
left, rename = int(sys.argv.pop(1)), pathlib.Path.rename
def counted(self, target):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(self, target)
pathlib.Path.rename = counted
from velocorpus.cli.main import main
main()
"""
NEVER = 10**6


def run(kill_at: int, *arguments: object) -> int:
    """Run `velocorpus corpus …` in a process that is killed at a rename; its exit status (−9: killed)."""
    command = [sys.executable, "-c", CHILD, str(kill_at), "corpus", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True).returncode


def make(folder: Path) -> tuple[Path, dict[str, tuple[object, ...]]]:
    """A corpus of two samples, and changes of it."""
    counts = {s: make_counts(folder, s, seed=ord(s), n_cells=8) for s in "ab"}
    late = make_counts(folder, "m", n_cells=8, genes=MOUSE)
    fixed = make_counts(folder / "fixed", "b", seed=9, n_cells=7)
    corpus = make_corpus(folder / "good", counts.values())
    return corpus, {
        "add": ("add", folder / "c", late),
        "remove": ("remove", folder / "c", "b", "--because", "drill"),
        "replace": ("replace", folder / "c", fixed, "--because", "drill"),
    }


def kill(good: Path, arguments: tuple[object, ...], kill_at: int) -> bool:
    """Kill a change of a copy of `good` at a rename and repeat it; False where the change has no such rename.

    The killed corpus reads as it was or as it will be; repeated, all is as if nobody had been killed.
    """
    folder = Path(str(arguments[1]))
    shutil.copytree(good, folder)
    cells = Corpus(good).read().obs
    killed = run(kill_at, *arguments)
    assert killed in (-9, 0), killed
    now = Corpus(folder)
    if now.manifest["version"] == 1:
        assert now.read().obs == cells
        assert run(NEVER, *arguments) == 0
    assert Corpus(folder).manifest["version"] == 2
    faults = verify(folder)
    assert not faults, (kill_at, faults)
    assert not list(folder.glob(".totals.*"))
    shutil.rmtree(folder)
    return killed == -9


def main() -> None:
    print("| change | kills | at a version, ended by the same command |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        good, changes = make(Path(scratch))
        for name, arguments in changes.items():
            n = 0
            while kill(good, arguments, n + 1):
                n += 1
            print(f"| {name} | {n} | {n} |", flush=True)


if __name__ == "__main__":
    main()
