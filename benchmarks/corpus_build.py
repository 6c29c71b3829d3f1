"""CPU seconds and peak memory of each kind of job that builds a corpus, by size: memory must not grow with cells.

python benchmarks/corpus_build.py --cells 100000 1000000 [--sample-cells 10000] [--group-samples 32] [--distinct 4]

The cells are those of `realistic.py`: 36,601 genes, medians of 2,214, 1,103 and 349 expressed. A few samples are made;
the others are their copies under other names, made a shard group at a time and deleted after it, so that disk holds
the shards (3.2 kB a cell) and one group's counts. Copying is not part of the figures. Vocabulary, totals, shards and
manifest are made by the functions of the workflow's jobs, each job in a process of its own, forked after the imports:
in the workflow some 2 s for starting Python come on top of each.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np

import realistic
from velocorpus import names
from velocorpus.corpus.building.build import organisms_of
from velocorpus.corpus.building.manifest import write_manifest
from velocorpus.corpus.building.totals import Totals, build_vocabulary, sample_totals
from velocorpus.corpus.building.writer import write_shards
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.counting.counts_file import content_digest, read_counts

ABOUT = {names.ORGANISM: "human"}


class Jobs:
    """Runs jobs one after another; `seconds` (CPU), `peaks` (MB) and `times` by kind."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.peaks: dict[str, float] = {}
        self.times: dict[str, int] = {}

    def run(self, kind: str, job: Callable[[], object]) -> None:
        """Run in a forked process."""
        pid = os.fork()
        if not pid:
            try:
                job()
                os._exit(0)
            except BaseException as error:
                print(f"{kind}: {error!r}", file=sys.stderr, flush=True)
                os._exit(1)
        _, status, used = os.wait4(pid, 0)
        if status:
            raise SystemExit(f"a job of kind {kind} failed")
        self.seconds[kind] = self.seconds.get(kind, 0) + used.ru_utime + used.ru_stime
        self.peaks[kind] = max(self.peaks.get(kind, 0), used.ru_maxrss / 1024)
        self.times[kind] = self.times.get(kind, 0) + 1


def copy(source: Path, path: Path, name: str) -> None:
    """A counts file under another sample's name."""
    adata = read_counts(source, check=False)
    meta = adata.uns[names.UNS]
    adata.obs_names = [names.cell_id(name, barcode) for barcode in adata.obs[names.BARCODE]]
    adata.obs[names.SAMPLE] = name
    meta |= {"sample": name, "source": json.dumps(meta["source"] | {names.STUDY: name}, sort_keys=True)}
    meta["content_digest"] = content_digest(adata)
    shutil.copyfile(source, path)
    with h5py.File(path, "r+") as file:
        ad.io.write_elem(file, "obs", adata.obs)
        ad.io.write_elem(file, "uns", {names.UNS: meta})


def build(sources: list[Path], n_samples: int, group_samples: int, folder: Path) -> Jobs:
    """Build a corpus of copies in `folder`, by jobs."""
    jobs, vocabulary = Jobs(), folder / "vocabulary.feather"
    every = {f"s{i:04d}": folder / f"s{i:04d}.totals.feather" for i in range(n_samples)}
    given = {name: {**ABOUT, names.STUDY: name} for name in every}
    (folder / "shards").mkdir()

    def totals_of(paths: list[Path]) -> list[Totals]:
        return [Totals.read(path) for path in paths]

    def number() -> None:
        firsts = [sample_totals(path, min_counts=1000) for path in sources]
        organisms = organisms_of(firsts, {one.sample: ABOUT for one in firsts})
        build_vocabulary(firsts, organisms).as_vocabulary().write(vocabulary)

    def shards(group: str, members: dict[str, Path]) -> None:
        filters = {"min_counts": 1000, "samples": given, "splits": Splits(), "seed": 0}
        write_shards(members, folder / "shards", group=group, vocabulary=Vocabulary.read(vocabulary), **filters)

    def finish() -> None:
        written, totals = sorted((folder / "shards").iterdir()), totals_of(list(every.values()))
        about = {"samples": given, "splits": Splits(), "min_gene_counts": 1001}
        write_manifest(folder, shards=written, totals=totals, vocabulary=Vocabulary.read(vocabulary), **about)

    Jobs().run("vocabulary of the first samples", number)
    for start in range(0, n_samples, group_samples):
        members = {name: folder / f"{name}.h5ad" for name in list(every)[start : start + group_samples]}
        for i, (name, path) in enumerate(members.items(), start):
            Jobs().run("copy", lambda i=i, name=name, path=path: copy(sources[i % len(sources)], path, name))
            jobs.run("totals", lambda name=name, path=path: sample_totals(path, min_counts=1000).write(every[name]))
        jobs.run("shards", lambda start=start, members=members: shards(f"g{start // group_samples:05d}", members))
        for path in members.values():
            path.unlink()
        so_far = ", ".join(f"{kind} {jobs.seconds[kind]:.0f} s and {jobs.peaks[kind]:.0f} MB" for kind in jobs.seconds)
        print(f"{start + len(members)} of {n_samples} samples: {so_far}", file=sys.stderr, flush=True)
    paths = list(every.values())
    jobs.run("vocabulary", lambda: build_vocabulary(totals_of(paths), organisms_of(totals_of(paths), given)))
    jobs.run("manifest", finish)
    return jobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[20_000, 100_000], help="sizes of corpora")
    parser.add_argument("--sample-cells", type=int, default=10_000)
    parser.add_argument("--group-samples", type=int, default=32)
    parser.add_argument("--distinct", type=int, default=4, help="samples that are no copies")
    parser.add_argument("--scratch", type=Path, help="folder to work in; the distinct samples stay there")
    given = parser.parse_args()
    found = []
    print("| cells | job | jobs | CPU s | cells per CPU s | peak MB |\n|---|---|---|---|---|---|")
    if given.scratch:
        given.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        made = (given.scratch or Path(scratch)) / f"{given.distinct}_samples_of_{given.sample_cells}"
        Jobs().run("samples", lambda: realistic.write(made, given.distinct, given.sample_cells, 0))
        sources = sorted(made.glob("*/counts.h5ad"))
        for cells in given.cells:
            with tempfile.TemporaryDirectory(dir=scratch) as folder:
                jobs = build(sources, cells // given.sample_cells, given.group_samples, Path(folder))
                size = sum(path.stat().st_size for path in (Path(folder) / "shards").iterdir())
                kept = json.loads((Path(folder) / "manifest.json").read_text())["cells"]
            for kind, seconds in jobs.seconds.items():
                figures = f"{jobs.times[kind]} | {seconds:.1f} | {cells / seconds:,.0f} | {jobs.peaks[kind]:,.0f}"
                print(f"| {cells:,} | {kind} | {figures} |", flush=True)
            total = sum(jobs.seconds.values())
            print(f"| {cells:,} | all | | {total:.1f} | {cells / total:,.0f} | {max(jobs.peaks.values()):,.0f} |")
            print(f"{kept} cells kept, {size / kept:.0f} bytes of shards a cell", file=sys.stderr, flush=True)
            found.append((cells, total))
    if len(found) > 1:
        slope, start = np.polyfit(*zip(*found, strict=True), 1)
        print(f"\nFitted: {1e6 * slope:,.0f} CPU µs a cell and {start:.1f} s.")


if __name__ == "__main__":
    main()
