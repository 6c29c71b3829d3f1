"""A run of SRA comes with all of its reads, told apart: by stand-ins for sra-tools, and by the real ones if at hand."""

import gzip
import os
import random
import shutil
import subprocess
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.drills import misbehaving as bad
from tests.drills.sra_tools import archive, install

from velocorpus.config import FetchConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.reads.fetch.pairs import choose_pair, fetch_pair, fetch_run

RUN = "SRR1234567"
BUCKET = "s3://sra-pub-run-odp/"


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Stand-ins for sra-tools first in PATH."""
    monkeypatch.setenv("PATH", f"{install(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}")


def sequences(n, length, seed=0):
    rng = random.Random(seed + length)
    return ["".join(rng.choices("ACGT", k=length)) for _ in range(n)]


def how(site, **changes):
    """The open bucket is mirrored by the site."""
    values = {"mirrors": [[BUCKET, f"{site.address}/"]], "retries": 1} | changes
    return FetchConfig(**values)


def pair(site, tmp_path, chemistry="10xv3"):
    one, two = tmp_path / "out" / "u_R1.fastq.gz", tmp_path / "out" / "u_R2.fastq.gz"
    fetch_pair(f"sra:{RUN}", one, two, chemistry=chemistry, how=how(site), wait_s=0.01)
    return [gzip.open(file, "rt").read().splitlines()[1::4] for file in (one, two)]


def test_a_run_comes_with_its_technical_reads_in_any_order(tools, site, tmp_path):
    cdna, index, barcodes = sequences(50, 91), sequences(50, 8), sequences(50, 28)
    site.keep(f"sra/{RUN}/{RUN}", archive(cdna, index, barcodes))
    assert pair(site, tmp_path) == [barcodes, cdna]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["u_R1.fastq.gz", "u_R2.fastq.gz"]


def test_a_run_without_technical_reads_is_refused_with_where_to_look(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 91)))
    with pytest.raises(UserMistake, match=f"sra:{RUN} has 1 read a spot, so no barcodes.*look for the submitter's own"):
        pair(site, tmp_path)
    assert list((tmp_path / "out").iterdir()) == []


def test_reads_too_short_for_barcodes_are_refused(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 8), sequences(50, 91)))
    with pytest.raises(UserMistake, match=r"SRR1234567_1.fastq.gz 8, .*technical reads are missing"):
        pair(site, tmp_path)


def test_reads_without_mates_are_refused(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 28), sequences(49, 91)))
    with pytest.raises(UserMistake, match=r"reads without mates \(.*_1\.fastq\.gz 50, .*_2\.fastq\.gz 49 reads\)"):
        pair(site, tmp_path)


def test_a_damaged_archive_is_fetched_once_more(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 28), sequences(50, 91)))
    site.faults = deque([None, lambda reply, rng: bad.replace(reply, body=reply.body[:-1] + b"x")])
    assert len(pair(site, tmp_path)[0]) == 50


def test_what_is_not_in_the_bucket_comes_by_prefetch(tools, site, tmp_path, monkeypatch):
    (tmp_path / "given").write_bytes(archive(sequences(50, 28), sequences(50, 91)))
    monkeypatch.setenv("PREFETCH_GIVES", str(tmp_path / "given"))
    monkeypatch.setattr("velocorpus.reads.fetch.sra.BUCKET", f"{site.address}/absent/{{run}}")
    assert len(pair(site, tmp_path)[0]) == 50


def test_neither_bucket_nor_prefetch_is_tried_again_later(tools, site, tmp_path, monkeypatch):
    monkeypatch.setattr("velocorpus.reads.fetch.sra.BUCKET", f"{site.address}/absent/{{run}}")
    with pytest.raises(TryLater, match=r"refused with status 404.*Nor did it come by prefetch.*name not found"):
        pair(site, tmp_path)


def test_a_dump_that_fails_goes_on_from_the_archive(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(says="disk-limit exceeded!"))
    with pytest.raises(TryLater, match="found no room: disk-limit exceeded!"):
        pair(site, tmp_path)
    (tmp_path / f"out/.u_R1.fastq.gz.parts/{RUN}").write_bytes(archive(sequences(50, 28), sequences(50, 91)))
    site.asked.clear()
    assert len(pair(site, tmp_path)[0]) == 50
    assert site.asked == []


def test_missing_tools_are_said_before_anything_is_fetched(site, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserMistake, match="vdb-validate is not installed; install sra-tools 3"):
        pair(site, tmp_path)
    assert site.asked == []


@pytest.mark.parametrize("source", ["sra:GSM123", "sra:SRR", "sra:"])
def test_what_is_no_run_is_refused(source, tmp_path):
    with pytest.raises(UserMistake, match="is not sra:RUN"):
        fetch_run(source, tmp_path / "x", how=FetchConfig())


def test_a_run_without_a_known_chemistry_comes_as_a_folder(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 8), sequences(50, 28), sequences(50, 91)))
    fetch_run(f"sra:{RUN}", tmp_path / "run", how=how(site), wait_s=0.01)
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == [f"{RUN}_{i}.fastq.gz" for i in (1, 2, 3)]


def test_what_stands_in_the_folder_of_a_run_stays(tools, site, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("ours")
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 28), sequences(50, 91)))
    fetch_run(f"sra:{RUN}", tmp_path / "run", how=how(site), wait_s=0.01)
    names = [f"{RUN}_1.fastq.gz", f"{RUN}_2.fastq.gz", "notes.txt"]
    assert sorted(file.name for file in (tmp_path / "run").iterdir()) == names


def test_a_run_that_is_refused_leaves_nothing(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 91)))
    with pytest.raises(UserMistake, match="1 read a spot"):
        fetch_run(f"sra:{RUN}", tmp_path / "run", how=how(site), wait_s=0.01)
    assert list((tmp_path / "run").iterdir()) == []


def test_two_processes_that_dump_one_run_take_turns(tools, site, tmp_path):
    site.keep(f"sra/{RUN}/{RUN}", archive(sequences(50, 28), sequences(50, 91)))
    site.slow_s = 0.2
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(pair, site, tmp_path) for _ in range(2)]
        assert [len(one.result()[0]) for one in both] == [50, 50]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["u_R1.fastq.gz", "u_R2.fastq.gz"]


def test_one_fastq_for_both_reads_is_refused(tmp_path):
    one = write_fastq(tmp_path / "a.fastq.gz", sequences(9, 28))
    with pytest.raises(UserMistake, match=r"a\.fastq\.gz is given for both reads.*two FASTQs"):
        fetch_pair(str(one), tmp_path / "1.fastq.gz", tmp_path / "2.fastq.gz", chemistry="10xv3")


def write_fastq(path, reads):
    path.write_bytes(gzip.compress("".join(f"@{i}\n{r}\n+\n{'F' * len(r)}\n" for i, r in enumerate(reads)).encode()))
    return path


@pytest.mark.parametrize("own", [False, True])
def test_barcodes_on_the_list_tell_long_reads_apart(tmp_path, own):
    from velocorpus.files import open_text
    from velocorpus.reads.chemistries import whitelist_path

    rng = random.Random(1)
    with open_text(whitelist_path("10xv2")) as lines:
        barcodes = [line.strip() for line, _ in zip(lines, range(5000), strict=False)]
    if own:
        barcodes = sequences(5000, 16, seed=9)
        (tmp_path / "own.txt").write_text("".join(f"{barcode}\n" for barcode in barcodes))
    long = [rng.choice(barcodes) + rest for rest in sequences(3000, 134)]
    files = [write_fastq(tmp_path / "a_1.fastq.gz", sequences(3000, 150)), write_fastq(tmp_path / "a_2.fastq.gz", long)]
    assert choose_pair(files, "10xv2", "sra:X", tmp_path / "own.txt" if own else None) == (files[1], files[0])


def test_what_neither_lengths_nor_barcodes_tell_is_refused(tmp_path):
    files = [write_fastq(tmp_path / f"a_{i}.fastq.gz", sequences(3000, 150, seed=i)) for i in (1, 2)]
    with pytest.raises(UserMistake, match="neither lengths nor its list of barcodes tell"):
        choose_pair(files, "10xv2", "sra:X")


@pytest.mark.skipif(shutil.which("latf-load") is None, reason="the loader of sra-tools is not installed")
def test_the_real_tools_give_back_the_reads_that_were_loaded(site, tmp_path):
    names = [f"A00:1:H:1:1:{i}:{i + 7}" for i in range(200)]
    reads = {1: sequences(200, 28), 2: sequences(200, 91)}
    for number, each in reads.items():
        text = "".join(f"@{n} {number}:N:0:A\n{r}\n+\n{'F' * len(r)}\n" for n, r in zip(names, each, strict=True))
        (tmp_path / f"{number}.fastq").write_text(text)
    load = ["latf-load", "--quality", "PHRED_33", "-p", "ILLUMINA", "-o", "db", "-1", "1.fastq", "-2", "2.fastq"]
    subprocess.run(load, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run(["kar", "--create", RUN, "--directory", "db"], cwd=tmp_path, check=True, capture_output=True)
    site.keep(f"sra/{RUN}/{RUN}", (tmp_path / RUN).read_bytes())
    assert pair(site, tmp_path) == [reads[1], reads[2]]
