"""Peak memory of `velocorpus count` by the number of reads, and the line through it.

python benchmarks/count_memory.py --data FOLDER [--sizes 1000000 5000000 20000000 100000000] [--threads 2]

Samples are made as by count.py, and kept; beyond 20 million reads they are that sample's blocks repeated.
"""

import argparse
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from count_sample import first_records, prepared, run_ours, simulated, work_folder
from processes import HEAD, row
from velocorpus.files import write_json
from velocorpus.simulate.repeat import repeat_bam

LARGEST_SIMULATED = 20_000_000  # larger sizes are that one's reads repeated


def memory(data: Path, sizes: list[int], threads: int, work: Path) -> list[dict[str, float]]:
    """Count a sample of each size in a process of its own; print and return what each took."""
    caches = {"VELOCORPUS_CACHE": str(work / "cache")}
    smallest = prepared(simulated(data, min(sizes)), work)
    few = replace(smallest, bam=first_records(smallest.bam, work / "few.bam", 5000))
    with tempfile.TemporaryDirectory(dir=work) as aside:  # compiling is no part of the memory of counting
        run_ours(few, few.bam, Path(aside), caches, threads)
    print(HEAD, flush=True)
    found = []
    for size in sizes:
        sample = prepared(simulated(data, min(size, LARGEST_SIMULATED)), work)
        times = max(1, size // LARGEST_SIMULATED)
        sample = replace(sample, n_records=sample.n_records * times)
        with tempfile.TemporaryDirectory(dir=work) as aside:
            bam = sample.bam
            if times > 1:
                bam = Path(aside) / "repeated.bam"
                repeat_bam(sample.bam, bam, times)
            run = run_ours(sample, bam, Path(aside), caches, threads)
        print(row(f"{sample.n_records} records", run), flush=True)
        found.append({"records": sample.n_records, **asdict(run)})
    if len(found) > 1:
        slope, start = np.polyfit([one["records"] for one in found], [one["peak_gb"] * 1e9 for one in found], 1)
        print(f"fitted: {start / 1e9:.2f} GB and {slope:.2f} bytes a record")
    return found


def main() -> None:
    """Measure; print a table and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the simulated samples, which are kept.")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 5_000_000, 20_000_000, 100_000_000])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    options = parser.parse_args()
    if wrong := [n for n in options.sizes if n > LARGEST_SIMULATED and n % LARGEST_SIMULATED]:
        parser.error(f"--sizes: {wrong[0]} is no multiple of {LARGEST_SIMULATED}")
    with work_folder(options.data) as work:
        found = memory(options.data, options.sizes, options.threads, work)
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
