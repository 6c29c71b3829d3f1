"""Counting a BAM: velocorpus beside velocyto, STARsolo's own Velocyto counting and a plain pysam loop; the same reads.

python benchmarks/count.py --data FOLDER [--reads 20000000] [--peers startup,ours,pysam,velocyto,starsolo] [--repeats 3]
python benchmarks/count.py --data FOLDER --memory [--sizes 1000000,5000000,20000000,100000000]

The sample is `velocorpus simulate --preset count_bench --reads N`, made in FOLDER/N when it is not there. Every run is
a process of its own; fast peers take turns, `--repeats` times; velocyto and STARsolo run `--slow-repeats` times.
Printed: wall and CPU seconds, the greatest resident memory of the process and its children together, reads a second
(records of the BAM by wall), and in how many entries counts differ. STARsolo aligns the BAM's own reads first; its
counts are not compared, since it places reads anew.
"""

import argparse
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anndata as ad
import numpy as np
import pysam
from scipy import sparse

from velocorpus import names
from velocorpus.counting.counts_file import read_counts
from velocorpus.counting.importing.imported import bare_barcodes
from velocorpus.counting.importing.importers import read_any, read_loom
from velocorpus.counting.velocyto import aligned_to
from velocorpus.files import open_text, replacing, write_json
from velocorpus.reference.gtf import read_gtf
from velocorpus.simulate.repeat import repeat_bam

PEERS = ["startup", "ours", "pysam", "velocyto", "starsolo"]
DUMMY = "DUMMY"
PYSAM_LOOP = """
import sys
import pysam
n = 0
with pysam.AlignmentFile(sys.argv[1], "rb", check_sq=False) as bam:
    for read in bam.fetch(until_eof=True):
        if read.is_unmapped or read.get_tag("NH") != 1 or not (read.has_tag("CB") and read.has_tag("UB")):
            continue
        cell, umi, cigar = read.get_tag("CB"), read.get_tag("UB"), read.cigartuples
        n += 1
print(n)
"""
LARGEST_SIMULATED = 20_000_000  # larger sizes are that one's reads repeated


@dataclass
class Run:
    """One process: what it took, and what it said of itself."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    reads_per_s: float
    notes: dict[str, float] = field(default_factory=dict)


class Failed(Exception):
    """A peer's process ended with an error; the others go on."""


def measured(command: list[str], folder: Path, env: dict[str, str] | None = None) -> tuple[float, float, float, str]:
    """Run a command in `folder`: wall and CPU seconds, peak memory of the process tree in GB, what it printed."""
    log = folder / "log.txt"
    peak = 0

    def watch(pid: int) -> None:
        nonlocal peak
        while not done.wait(0.2):  # seldom, so that watching takes no core from the watched
            peak = max(peak, resident(pid))

    done = threading.Event()
    with log.open("wb") as out:
        begin = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        watcher = threading.Thread(target=watch, args=(child.pid,))
        watcher.start()
        try:
            # wait4 and not wait: it tells this child's own CPU time and peak, its children's included.
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - begin
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            done.set()
            watcher.join()
        child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}:\n{text[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024) / 1e9, text


def resident(pid: int) -> int:
    """Resident bytes of a process and all that it started (Linux); 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children.split())


@dataclass
class Sample:
    """The files to count, the annotation that all peers get, and the number of records."""

    bam: Path
    gtf: Path
    barcodes: Path
    whitelist: Path
    genome: Path
    n_records: int


def simulated(data: Path, n_reads: int) -> Path:
    """The folder of the simulated sample of so many reads, made when it is not there."""
    folder = data / str(n_reads) / "count_bench"
    if not folder.exists():
        say(f"simulating {n_reads} reads in {folder}")
        command = [*velocorpus(), "simulate", "--preset", "count_bench", "--reads", str(n_reads), "--out"]
        subprocess.run([*command, str(folder.parent)], check=True)
    return folder


def prepared(folder: Path, work: Path) -> Sample:
    """The sample, with an annotation in which velocyto tests every gene: it never tests the last of a strand."""
    bam = folder / "possorted_genome_bam.bam"
    models = read_gtf(folder / "genes.gtf.gz")
    gtf = work / "genes.gtf"
    last = int(models.exon_end.max()) + 100_000
    with open_text(folder / "genes.gtf.gz") as source, gtf.open("w") as target:
        shutil.copyfileobj(source, target)
        for chromosome in models.chromosomes:
            for strand in "+-":
                name = f"{DUMMY}{chromosome}{strand}"
                target.write(
                    f'{chromosome}\tbenchmark\texon\t{last}\t{last + 200}\t.\t{strand}\t.\tgene_id "{name}";'
                    f' gene_name "{name}"; transcript_id "{name}"; transcript_name "{name}"; exon_number "1";\n'
                )
    say(f"{bam}: counting records")
    n_records = int(str(pysam.view("-c", str(bam))))
    barcodes, whitelist, genome = (folder / name for name in ("barcodes.tsv", "whitelist.txt", "genome.fa"))
    return Sample(bam, gtf, barcodes, whitelist, genome, n_records)


def velocorpus() -> list[str]:
    """Our command line, run by this Python."""
    return [sys.executable, "-c", "from velocorpus.cli.main import main; main()"]


def our_command(sample: Sample, bam: Path, out: Path, threads: int = 1) -> list[str]:
    files = ["--bam", str(bam), "--gtf", str(sample.gtf), "--barcodes", str(sample.barcodes), "--out", str(out)]
    return [*velocorpus(), "count", *files, "--threads", str(threads)]


def run_ours(sample: Sample, bam: Path, folder: Path, caches: dict[str, str], threads: int = 1) -> Run:
    """`velocorpus count`, the whole process from import to the written file."""
    out = folder / "counts.h5ad"
    wall, cpu, peak, _ = measured(our_command(sample, bam, out, threads), folder, caches)
    return Run(wall, cpu, peak, sample.n_records / wall)


def run_pysam(sample: Sample, folder: Path) -> Run:
    """A loop that reads NH, CB, UB and CIGAR of every record, and does nothing with them."""
    wall, cpu, peak, _ = measured([sys.executable, "-c", PYSAM_LOOP, str(sample.bam)], folder)
    return Run(wall, cpu, peak, sample.n_records / wall)


def run_velocyto(sample: Sample, folder: Path) -> Run:
    """velocyto 0.17.17 with its own sorting, which it does beside its first pass.

    `without_sort_s`: the same without the time that it waited for samtools; `counting_s`: its second pass.
    """
    os.link(sample.bam, folder / "reads.bam")  # it writes its sorted copy beside the BAM
    command = [str(Path(sys.executable).parent / "velocyto"), "run", "reads.bam", str(sample.gtf), "-vvv"]
    command += ["-b", str(sample.barcodes), "-o", "out", "-e", "sample", "--samtools-memory", "768"]
    wall, cpu, peak, log = measured(command, folder, {"PYTHONWARNINGS": "ignore"})
    (folder / "cellsorted_reads.bam").unlink()
    at = {}
    for line in log.splitlines():
        if found := re.match(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) - \w+ - (.*)", line):
            moment = datetime.fromisoformat(found[1]).timestamp() + int(found[2]) / 1000
            for words in ("Now just waiting", "Start molecule counting", "Generating output file"):
                if found[3].startswith(words):
                    at[words] = moment
    waited = at["Start molecule counting"] - at["Now just waiting"]
    counting = at["Generating output file"] - at["Start molecule counting"]
    notes = {"waited_for_sort_s": waited, "without_sort_s": wall - waited, "counting_s": counting}
    return Run(wall, cpu, peak, sample.n_records / wall, notes)


def star_index(sample: Sample, folder: Path, threads: int) -> Path:
    """STAR's index, kept with the samples, whose genome is one and the same; making it is not part of any time."""
    index = folder / "star"
    if not (index / "SA").exists():
        say(f"indexing {sample.genome} for STAR")
        bases = sample.genome.stat().st_size
        command = [
            "STAR", "--runMode", "genomeGenerate", "--genomeDir", str(index), "--genomeFastaFiles", str(sample.genome),
            "--sjdbGTFfile", str(sample.gtf), "--sjdbOverhang", "90", "--runThreadN", str(threads),
            "--genomeSAindexNbases", str(min(14, int(np.log2(bases) / 2 - 1))),
        ]  # fmt: skip
        with tempfile.TemporaryDirectory(dir=folder) as aside, replacing(index) as made:
            command[command.index(str(index))] = str(made)
            measured(command, Path(aside))
    return index


def run_starsolo(sample: Sample, folder: Path, index: Path, threads: int) -> Run:
    """STARsolo on the BAM's own reads: aligned, then counted as Velocyto; no BAM is written.

    `counting_s`: from "started Solo counting" to "finished Solo counting" of its log (whole seconds), all features.
    Its molecules in the listed cells stand beside.
    """
    reader = "samtools view -F 0x100"
    command = [
        "STAR", "--genomeDir", str(index), "--readFilesIn", str(sample.bam), "--readFilesType", "SAM", "SE",
        "--readFilesCommand", *reader.split(), "--soloInputSAMattrBarcodeSeq", "CR", "UR",
        "--soloInputSAMattrBarcodeQual", "CY", "UY", "--readFilesSAMattrKeep", "None", "--runThreadN", str(threads),
        "--soloType", "CB_UMI_Simple", "--soloFeatures", "GeneFull", "Gene", "Velocyto", "--soloStrand", "Forward",
        "--soloUMIdedup", "1MM_CR", "--soloUMIfiltering", "MultiGeneUMI_CR", "--soloCBlen", "16", "--soloUMIlen", "12",
        "--soloCBmatchWLtype", "1MM_multi_Nbase_pseudocounts", "--soloCBwhitelist", str(sample.whitelist),
        "--outFilterScoreMin", "30", "--outSAMtype", "None",
    ]  # fmt: skip
    wall, cpu, peak, _ = measured(command, folder)
    at = {}
    for line in (folder / "Log.out").read_text().splitlines():
        if found := re.match(r"(\w{3} +\d+ \d\d:\d\d:\d\d) \.+ (started|finished) Solo counting", line):
            at[found[2]] = datetime.strptime(f"2000 {found[1]}", "%Y %b %d %H:%M:%S").timestamp()
    unique = re.search(r"Uniquely mapped reads % \|\s*([\d.]+)", (folder / "Log.final.out").read_text())
    notes = {"counting_s": at["finished"] - at["started"], "uniquely_mapped_percent": float(unique[1] if unique else 0)}
    found = read_any(folder / "Solo.out" / "Velocyto" / "raw")
    listed = np.isin(found.cells, [line.split("-")[0] for line in sample.barcodes.read_text().split()])
    notes |= {layer: float(matrix[listed].sum()) for layer, matrix in found.layers.items()}
    return Run(wall, cpu, peak, sample.n_records / wall, notes)


def against_velocyto(ours: Path, loom: Path) -> dict[str, int]:
    """Entries (cell, gene) in which our counts and velocyto's differ, by layer, and what was compared."""
    counts = read_counts(ours)
    theirs = read_loom(loom)
    cells, genes = list(counts.obs[names.BARCODE].astype(str)), list(counts.var_names)
    aligned = aligned_to(theirs.layers, bare_barcodes(theirs.cells), theirs.genes, cells, genes)
    return _compared(counts, aligned)


def same_counts(one: Path, other: Path) -> dict[str, int]:
    """The same between two of our own files."""
    return _compared(read_counts(one), read_counts(other).layers)


def _compared(counts: ad.AnnData, others: Mapping[str, sparse.csr_matrix]) -> dict[str, int]:
    found = {"cells": counts.n_obs, "genes": int((~counts.var_names.str.startswith(DUMMY)).sum())}
    for layer in names.LAYERS:
        matrix = sparse.csr_matrix(counts.layers[layer])
        found[f"{layer} molecules"] = int(matrix.sum())
        found[f"{layer} entries that differ"] = int((matrix != others[layer]).nnz)
    return found


def compare(options: argparse.Namespace, work: Path) -> dict[str, object]:
    """Run the chosen peers in turns; print each run as it ends."""
    folder = simulated(options.data, options.reads)
    sample = prepared(folder, work)
    caches = {name: str(work / "cache") for name in ("VELOCORPUS_CACHE",)}
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


def memory(options: argparse.Namespace, work: Path) -> dict[str, object]:
    """Peak memory of ours by the number of reads, and the line through it."""
    caches = {name: str(work / "cache") for name in ("VELOCORPUS_CACHE",)}
    found: dict[str, list[dict[str, float]]] = {}
    for threads in options.threads:
        name = f"ours, {threads} threads"
        smallest = prepared(simulated(options.data, min(options.sizes)), work)
        few = replace(smallest, bam=first_records(smallest.bam, work / "few.bam", 5000))
        with tempfile.TemporaryDirectory(dir=work) as aside:  # compiling is no part of the memory of counting
            run_ours(few, few.bam, Path(aside), caches, threads)
        print(f"{name}\n{HEAD}", flush=True)
        for size in options.sizes:
            folder = simulated(options.data, min(size, LARGEST_SIMULATED))
            sample = prepared(folder, work)
            with tempfile.TemporaryDirectory(dir=work) as aside:
                times = max(1, size // LARGEST_SIMULATED)
                bam = sample.bam
                if times > 1:
                    bam = Path(aside) / "repeated.bam"
                    repeat_bam(sample.bam, bam, times)
                run = run_ours(replace(sample, n_records=sample.n_records * times), bam, Path(aside), caches, threads)
            print(row(f"{sample.n_records * times} records", run), flush=True)
            found.setdefault(name, []).append({"records": sample.n_records * times, **asdict(run)})
        records = np.array([one["records"] for one in found[name]])
        peak = np.array([one["peak_gb"] for one in found[name]])
        slope, start = np.polyfit(records, peak * 1e9, 1) if len(records) > 1 else (float("nan"), float("nan"))
        print(f"fitted: {start / 1e9:.2f} GB and {slope:.2f} bytes a record\n")
    return {"memory": found}


def first_records(bam: Path, target: Path, n: int) -> Path:
    """Write the first `n` records of a BAM."""
    with (
        pysam.AlignmentFile(str(bam), "rb") as reads,
        pysam.AlignmentFile(str(target), "wb", template=reads) as out,
    ):
        for read in itertools.islice(reads.fetch(until_eof=True), n):
            out.write(read)
    return target


def median(runs: list[Run]) -> Run:
    """The run of the median wall time (the slower of two)."""
    return sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]


HEAD = f"{'':28} {'wall s':>9} {'CPU s':>9} {'peak GB':>8} {'reads/s':>11}"


def row(name: str, run: Run) -> str:
    """A line of the table."""
    notes = ", ".join(f"{what} {value:.1f}" for what, value in run.notes.items())
    return f"{name:28} {run.wall_s:9.2f} {run.cpu_s:9.2f} {run.peak_gb:8.2f} {run.reads_per_s:11,.0f} {notes}"


def say(line: str) -> None:
    """Progress, beside the table."""
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    """Compare, or measure memory; print a table and write JSON on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of the simulated samples, which are kept.")
    parser.add_argument("--reads", type=int, default=20_000_000)
    parser.add_argument("--peers", type=_list(str), default=PEERS, help=f"Some of {','.join(PEERS)}.")
    parser.add_argument("--threads", type=_list(int), default=[1, 2], help="Threads of ours, a run each.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--slow-repeats", type=int, default=1, help="Repeats of velocyto and STARsolo.")
    parser.add_argument("--memory", action="store_true", help="Measure only our memory, at --sizes reads.")
    parser.add_argument("--sizes", type=_list(int), default=[1_000_000, 5_000_000, 20_000_000, 100_000_000])
    parser.add_argument("--json", type=Path, help="Write all figures here.")
    parser.add_argument("--work", type=Path, help="Folder of temporary files, on --data's disk (default: --data).")
    options = parser.parse_args()
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"--peers: {', '.join(sorted(unknown))} is none of {', '.join(PEERS)}")
    if wrong := [n for n in options.sizes if n > LARGEST_SIMULATED and n % LARGEST_SIMULATED]:
        parser.error(f"--sizes: {wrong[0]} is no multiple of {LARGEST_SIMULATED}")
    options.data = options.data.resolve()
    options.data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work or options.data, prefix="work-") as work:
        os.environ["TMPDIR"] = work
        found = (memory if options.memory else compare)(options, Path(work))
    if options.json:
        write_json(options.json, found)


def _list(kind: type) -> Callable[[str], list]:
    return lambda text: [kind(part) for part in text.split(",")]


if __name__ == "__main__":
    main()
