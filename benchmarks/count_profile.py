"""Where the time of `velocorpus count` goes: each stage's CPU nanoseconds a record, one after the other on one core.

python benchmarks/count_profile.py --data FOLDER [--reads 1000000] [--repeats 3]

And the seconds of a new process until the first record is read, with all caches warm. The sample is that of count.py.
"""

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

from count_sample import simulated, work_folder
from processes import measured
from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.alignments.bgzf import read_chunks
from velocorpus.counting.alignments.reads import Selection, decode
from velocorpus.counting.barcodes import barcode_table, read_barcodes
from velocorpus.counting.chromosomes import place_references
from velocorpus.counting.classes import Classes, tell_stories
from velocorpus.counting.feature_cache import cached_features
from velocorpus.counting.mask import no_mask
from velocorpus.counting.matching import Matcher
from velocorpus.counting.molecules import decide_molecules
from velocorpus.counting.rules import LOGICS, decision_table
from velocorpus.counting.spill import Reads, ReadStore

UNTIL_THE_FIRST_RECORD = """
import sys
from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.barcodes import read_barcodes
from velocorpus.counting.count import count_bam
from velocorpus.counting.feature_cache import cached_features
read_barcodes(sys.argv[3])
cached_features(sys.argv[2])
read_header(sys.argv[1])
"""


class Inline(Executor):
    """Does at once what it is given, so that each stage's time is its own."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run now; the future is done."""
        done: Future[Any] = Future()
        done.set_result(call(*args, **kwargs))
        return done


def stages(folder: Path) -> tuple[dict[str, float], int]:
    """CPU seconds of each stage of counting `folder`'s BAM, and the number of its records."""
    bam = folder / "possorted_genome_bam.bam"
    models, features, _ = cached_features(folder / "genes.gtf.gz")
    header = read_header(bam)
    place = place_references(bam, header.chromosomes, features.chromosomes, models)
    selection = Selection(*barcode_table(read_barcodes(folder / "barcodes.tsv")))
    matcher = Matcher(features, place.chromosome, no_mask(2 * len(features.chromosomes)))
    store, classes = ReadStore(), Classes()
    seconds: dict[str, float] = defaultdict(float)

    def timed(stage: str, call: Callable[..., Any], *args: Any) -> Any:
        begin = time.process_time()
        made = call(*args)
        seconds[stage] += time.process_time() - begin
        return made

    chunks = read_chunks(bam, header.first_record, Inline(), 0)
    n_records = 0
    while (chunk := timed("inflate and frame", next, chunks, None)) is not None:
        n_records += chunk.n_records
        batch = timed("decode", decode, bam, chunk, len(header.chromosomes), selection)
        matched = timed("match", matcher.match, batch)
        number = timed("classes", classes.add, matched.class_offset, matched.arena)
        timed("store", store.add, Reads(matched.cell, matched.umi, number[matched.class_]))
    stories = timed("stories", tell_stories, classes, features, matcher.validated)
    parts = timed("part", lambda: list(store.parts()))
    table = decision_table(LOGICS["permissive10x"])
    for part in parts:
        timed("decide", decide_molecules, part, stories, features.gene, table)
    return dict(seconds), n_records


def main() -> None:
    """Print the stages' medians and the start-up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the simulated samples, which are kept.")
    parser.add_argument("--reads", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    folder = simulated(options.data, options.reads).resolve()
    stages(folder)  # compiles, and fills the caches
    runs = [stages(folder) for _ in range(options.repeats)]
    n_records = runs[0][1]
    median = {stage: float(np.median([run[stage] for run, _ in runs])) for stage in runs[0][0]}
    print(f"{n_records} records; CPU nanoseconds a record, medians of {options.repeats}")
    for stage, of_stage in {**median, "all": sum(median.values())}.items():
        print(f"{stage:20} {of_stage / n_records * 1e9:8.0f}")
    files = [str(folder / name) for name in ("possorted_genome_bam.bam", "genes.gtf.gz", "barcodes.tsv")]
    with work_folder(options.data) as work:
        starts = [
            measured([sys.executable, "-c", UNTIL_THE_FIRST_RECORD, *files], work) for _ in range(options.repeats)
        ]
    print(f"{'until the first record':20} {np.median([wall for wall, *_ in starts]):8.2f} s")


if __name__ == "__main__":
    main()
