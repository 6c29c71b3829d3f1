"""Counting a BAM: velocorpus beside velocyto, STARsolo's own Velocyto counting and a plain pysam loop; the same reads.

python benchmarks/count.py --data FOLDER [--reads 20000000] [--peers startup ours pysam velocyto starsolo] [--repeats 3]

The sample is `velocorpus simulate --preset count_bench --reads N`, made in FOLDER/N when it is not there. Every run is
a process of its own; fast peers take turns, `--repeats` times; velocyto and STARsolo run `--slow-repeats` times.
Printed: wall and CPU seconds, the greatest resident memory of the process and its children together, reads a second
(records of the BAM by wall), and in how many entries counts differ. STARsolo aligns the BAM's own reads first; its
counts are not compared, since it places reads anew.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from count_peers import against_velocyto, run_pysam, run_starsolo, run_velocyto, same_counts, star_index
from count_sample import first_records, prepared, run_ours, simulated, work_folder
from processes import HEAD, Failed, Run, median, row, say
from velocorpus.files import write_json

PEERS = ["startup", "ours", "pysam", "velocyto", "starsolo"]


def compare(options: argparse.Namespace, work: Path) -> dict[str, object]:
    """Run the chosen peers in turns; print each run as it ends."""
    folder = simulated(options.data, options.reads)
    sample = prepared(folder, work)
    caches = {"VELOCORPUS_CACHE": str(work / "cache")}
    say(f"{sample.n_records} records, {sample.bam.stat().st_size / 1e9:.2f} GB, {os.cpu_count()} cores")
    jobs: dict[str, Callable[[Path], Run]] = {}
    first = []
    if "startup" in options.peers:
        few = replace(sample, bam=first_records(sample.bam, work / "few.bam", 5000), n_records=5000)
        jobs["start-up, nothing cached"] = partial(run_ours, few, few.bam, caches=caches)
        jobs["start-up, second call"] = partial(run_ours, few, few.bam, caches=caches)
        first = list(jobs)
    if "ours" in options.peers:
        for threads in options.threads:
            jobs[f"ours, threads {threads}"] = partial(run_ours, sample, sample.bam, caches=caches, threads=threads)
    if "pysam" in options.peers:
        jobs["pysam loop"] = partial(run_pysam, sample)
    fast = [name for name in jobs if name not in first]
    if "velocyto" in options.peers:
        jobs["velocyto"] = partial(run_velocyto, sample)
    if "starsolo" in options.peers:
        threads = max(options.threads)
        index = star_index(sample, options.data, threads)
        jobs[f"STARsolo, threads {threads}"] = partial(run_starsolo, sample, index=index, threads=threads)
    slow = [name for name in jobs if name not in (*first, *fast)]
    order = [*first, *(["ours, nothing cached"] if "ours" in options.peers and not first else [])]
    jobs["ours, nothing cached"] = partial(run_ours, sample, sample.bam, caches=caches)
    for turn in range(max(options.repeats, options.slow_repeats)):
        order += fast if turn < options.repeats else []
        order += slow if turn < options.slow_repeats else []

    with sample.bam.open("rb") as bam:  # no peer pays for the disk
        while bam.read(1 << 26):
            pass
    runs: dict[str, list[Run]] = {}
    results: dict[str, Path] = {}
    print(HEAD, flush=True)
    for name in order:
        with tempfile.TemporaryDirectory(dir=work) as aside:
            try:
                runs.setdefault(name, []).append(jobs[name](Path(aside)))
            except Failed as error:
                print(f"{name:28} failed: {error}", flush=True)
                continue
            for made in ("counts.h5ad", "out/sample.loom"):
                if (Path(aside) / made).exists() and name not in first:
                    results[name] = work / f"{name}{Path(made).suffix}"
                    shutil.move(Path(aside) / made, results[name])
        print(row(name, runs[name][-1]), flush=True)
    print("\nmedians, and how many times as long as ours with one thread\n" + HEAD)
    ours = next((name for name in results if name.startswith("ours, threads")), None)
    runs = {name: of_peer for name, of_peer in runs.items() if of_peer}
    for name, of_peer in runs.items():
        middle = median(of_peer)
        ratio = f"{middle.wall_s / median(runs[ours]).wall_s:8.2f} x" if ours else ""
        print(row(name, middle) + ratio)
    equality = {}
    for name, path in results.items():
        if ours and name.startswith("ours") and name != ours and path.exists():
            equality[f"{name} and {ours}"] = same_counts(results[ours], path)
    if ours and "velocyto" in results:
        equality[f"velocyto and {ours}"] = against_velocyto(results[ours], results["velocyto"])
    for pair, found in equality.items():
        print(f"{pair}: " + ", ".join(f"{what} {n}" for what, n in found.items()))
    return {
        "reads": options.reads,
        "records": sample.n_records,
        "bam_bytes": sample.bam.stat().st_size,
        "cores": os.cpu_count(),
        "runs": {name: [asdict(run) for run in of_peer] for name, of_peer in runs.items()},
        "equality": equality,
    }


def main() -> None:
    """Compare; print a table and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the simulated samples, which are kept.")
    parser.add_argument("--reads", type=int, default=20_000_000)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="Threads of ours, a run each.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slow-repeats", type=int, default=1, help="Repeats of velocyto and STARsolo.")
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    options = parser.parse_args()
    with work_folder(options.data) as work:
        found = compare(options, work)
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
