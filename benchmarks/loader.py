"""Shuffled batches of 256 cells as padded tensors: cells a second of CPU time, ours beside other readers.

python benchmarks/loader.py counts.h5ad [more.h5ad …] --data FOLDER [--peers scdl=PYTHON annbatch=PYTHON …]
    [--only ours packed uncompressed …] [--turns 3]

Every reader has the same cells in the format that it likes best, made once in FOLDER, a process of its own with one
thread, and turns with the others (ABC ABC ABC). Each delivers every cell once, as spliced and unspliced ids (int32) and
values (float32) of 256 x 2,048; `packed` delivers ids, values and offsets. CPU time is that of the whole process, all
threads, over its second epoch: what is compiled and memory's first use come before, as in training. The files are in
the page cache. An epoch's sum of counts must be the same for all, so that nobody skips work. `--peers` names the Python
of an environment in which a reader is installed; a reader that cannot be imported is named and left out.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import sparse

from loader_padding import BATCH, LAYERS
from loader_peers import READERS
from processes import say
from velocorpus.corpus.building.build import build
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.schema import SCHEMA_VERSION
from velocorpus.counting.counts_file import read_counts

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_IO_THREADS"), "1"
)


def prepare(counts: list[Path], folder: Path) -> None:
    """The cells as plain arrays, and as a corpus of ours."""
    source = folder / "cells"
    if not (source / "about.json").exists():
        source.mkdir(parents=True, exist_ok=True)
        samples = [read_counts(path) for path in counts]
        for layer in LAYERS:
            matrix = sparse.vstack([sample.layers[layer] for sample in samples], format="csr")
            matrix.sort_indices()
            assert max(matrix.shape[1], matrix.data.max()) < 2**16
            if matrix.shape[0] % BATCH:
                sys.exit(
                    f"{matrix.shape[0]} cells make no whole number of batches of {BATCH}; give 4 samples of 8,000."
                )
            for part, array, dtype in (
                ("p", matrix.indptr, np.int64),
                ("i", matrix.indices, np.uint16),
                ("d", matrix.data, np.uint16),
            ):
                np.save(source / f"{layer}_{part}.npy", array.astype(dtype))
        about = {"cells": matrix.shape[0], "genes": matrix.shape[1]}
        (source / "about.json").write_text(json.dumps(about))
    marker = folder / f"ours_of_schema_{SCHEMA_VERSION}"
    if not marker.exists():
        filters = {"min_counts": 0, "min_gene_counts": 0, "group_samples": 1, "seed": 0}
        build(counts, folder / "ours", samples={}, splits=Splits(), **filters)
        marker.touch()


def child(python: str, name: str, folder: Path, *more: str) -> str | None:
    """What the reader's process printed; None, and a line that says why, where it failed."""
    script = Path(__file__).with_name("loader_peers.py")
    done = subprocess.run(
        [python, str(script), name, str(folder), *more],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        say(f"{name}: left out: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return None
    return done.stdout


def ready(python: str, name: str, folder: Path) -> bool:
    """Make the reader's format where it is not there yet."""
    made = folder / READERS[name].files
    if made.exists():
        return True
    say(f"{name}: making its files")
    if child(python, name, folder, "--make") is None:
        if made.exists():
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        return False
    return True


def size(path: Path) -> int:
    """Bytes of a file or of all files in a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def main() -> None:
    """Make what is missing, take turns, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--only", nargs="*", choices=READERS, default=list(READERS))
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    pythons = dict.fromkeys(READERS, sys.executable) | dict(one.split("=", 1) for one in options.peers)
    prepare(options.counts, options.data)
    names = [name for name in options.only if ready(pythons[name], name, options.data)]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for turn in range(options.turns):
        for name in names:
            if printed := child(pythons[name], name, options.data, "--seed", str(10 * turn)):
                runs[name].append(json.loads(printed.splitlines()[-1]))
                say(f"turn {turn + 1}, {name}: {runs[name][-1]}")
    print("| reader | cells/s per CPU-second, median (all turns) | in the kernel | cells/s | peak GB | bytes a cell |")
    print("|---|--:|--:|--:|--:|--:|")
    for name, found in runs.items():
        if not found:
            continue
        rates = [run["cells"] / run["cpu_s"] for run in found]
        wall = statistics.median(run["cells"] / run["wall_s"] for run in found)
        peak = max(run["peak_gb"] for run in found)
        per_cell = size(options.data / READERS[name].files) / found[0]["cells"]
        kernel = statistics.median(run["kernel_s"] / run["cpu_s"] for run in found)
        every = f"{statistics.median(rates):,.0f} ({', '.join(f'{rate:,.0f}' for rate in rates)})"
        print(f"| {name} | {every} | {kernel:.0%} | {wall:,.0f} | {peak:.2f} | {per_cell:,.0f} |")
    totals = {(run["cells"], run["total"]) for found in runs.values() for run in found}
    print("Cells and sum of counts of an epoch:", "; ".join(f"{n:,} and {total:,.0f}" for n, total in sorted(totals)))
    if len(totals) > 1:
        sys.exit("The readers did not deliver the same counts.")


if __name__ == "__main__":
    main()
