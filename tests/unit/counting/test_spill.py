"""Reads that do not fit in memory: the same counts, and a temporary file that is gone whatever happens."""

import os
import signal
import subprocess
import sys
import tempfile
from random import Random

import numpy as np
import pytest
from bam_makers import ReadSpec, transcript_lines, write_bam

from velocorpus.counting import count
from velocorpus.counting.count import count_bam
from velocorpus.counting.spill import Reads, ReadStore
from velocorpus.reference.gtf import read_gtf

BARCODES = ("AAAACCCC", "CCCCAAAA", "GGGGTTTT")
LIMIT = 100


@pytest.fixture
def inputs(tmp_path):
    """A BAM of 2,000 reads of 600 molecules, its GTF and its barcodes."""
    rng = Random(0)
    reads = [
        ReadSpec(rng.randrange(50, 1000), rng.choice(("50M", "20M200N30M")), rng.choice(BARCODES),
                 "".join(rng.choices("ACGT", k=4)))
        for _ in range(2_000)
    ]  # fmt: skip
    gtf = tmp_path / "genes.gtf"
    gtf.write_text(transcript_lines("G", "T", [(100, 200), (400, 500), (900, 1000)]))
    listed = tmp_path / "barcodes.tsv"
    listed.write_text("\n".join(BARCODES) + "\n")
    return write_bam(tmp_path / "reads.bam", reads), gtf, listed


@pytest.fixture
def spilled_to(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def held_open_in(folder):
    """Files of a folder that this process holds open, those without a name too."""
    links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]  # noqa: PTH208
    return [link for link in links if link.startswith(str(folder))]


def some_reads(n, seed=0):
    rng = np.random.default_rng(seed)
    return Reads(*(rng.integers(0, 50, n).astype(dtype) for dtype in (np.int32, np.int64, np.int32)))


@pytest.mark.parametrize("limit", [1, LIMIT])
def test_counts_do_not_depend_on_the_memory(inputs, monkeypatch, limit):
    bam, gtf, _ = inputs
    # As the reads come in one batch, they would spill once: smaller batches spill often.
    monkeypatch.setattr("velocorpus.counting.alignments.bgzf._BLOCKS_A_CHUNK", 1)
    held, spilled = (count_bam(bam, read_gtf(gtf), BARCODES, reads_in_memory=n) for n in (10**6, limit))
    assert held.qc.pop("n_reads_spilled") == 0
    assert spilled.qc.pop("n_reads_spilled") > 1_000
    assert held.qc == spilled.qc
    assert held.layers["spliced"].sum() > 0
    assert held.layers["unspliced"].sum() > 0
    for layer, matrix in held.layers.items():
        np.testing.assert_array_equal(matrix.toarray(), spilled.layers[layer].toarray())


def test_parts_give_back_all_reads_of_many_spills_in_their_order():
    batches = [some_reads(n, seed) for seed, n in enumerate((30, 250, 0, 99, 1, 400))]
    with (
        ReadStore(reads_in_memory=LIMIT, n_parts=4) as spilling,
        ReadStore(reads_in_memory=10**6, n_parts=4) as holding,
    ):
        for batch in batches:
            spilling.add(batch)
            holding.add(batch)
        assert spilling.n_spilled > 600
        for one, other in zip(spilling.parts(), holding.parts(), strict=True):
            for column, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(column, same)


def test_temporary_file_has_no_name_and_is_gone_after_success(spilled_to):
    with ReadStore(reads_in_memory=LIMIT) as store:
        store.add(some_reads(2 * LIMIT))
        assert held_open_in(spilled_to)
        assert not any(spilled_to.iterdir())
    assert not held_open_in(spilled_to)


def test_temporary_file_is_gone_after_an_exception(inputs, spilled_to, monkeypatch):
    bam, gtf, _ = inputs

    def fail(*_):
        assert held_open_in(spilled_to)
        raise RuntimeError("a defect")

    monkeypatch.setattr(count, "decide_molecules", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        count_bam(bam, read_gtf(gtf), BARCODES, reads_in_memory=LIMIT)
    assert not held_open_in(spilled_to)
    assert not any(spilled_to.iterdir())


def test_temporary_file_is_gone_after_a_kill(spilled_to):
    script = f"""
import os, signal, numpy as np
from velocorpus.counting.spill import Reads, ReadStore
with ReadStore(reads_in_memory={LIMIT}) as store:
    store.add(Reads(*(np.arange({2 * LIMIT}, dtype=t) for t in (np.int32, np.int64, np.int32))))
    assert store.n_spilled
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(spilled_to)})
    assert done.returncode == -signal.SIGKILL
    assert not any(spilled_to.iterdir())


def test_full_disk_is_said_in_a_sentence_and_leaves_nothing(inputs, spilled_to):
    bam, gtf, listed = inputs
    out = spilled_to.parent / "counts.h5ad"
    # A limit on the size of files, from the moment the temporary file is made, stands for the full disk.
    script = f"""
import resource, tempfile
from velocorpus.cli.main import main
from velocorpus.counting.count import count_bam
count_bam.__kwdefaults__["reads_in_memory"] = {LIMIT}
make = tempfile.TemporaryFile
def limited(*args, **more):
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
    return make(*args, **more)
tempfile.TemporaryFile = limited
main()
"""
    command = ["count", "--bam", bam, "--gtf", gtf, "--barcodes", listed, "--out", out]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)],
        env={**os.environ, "TMPDIR": str(spilled_to)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr  # another try, with more space, may do
    said = done.stderr.splitlines()[-1]
    assert f"{spilled_to} cannot take the reads that do not fit in memory" in said
    assert "Traceback" not in done.stderr
    assert not out.exists()
    assert not any(spilled_to.iterdir())
    assert {path.name for path in spilled_to.parent.iterdir()} == {
        "genes.gtf",
        "barcodes.tsv",
        "reads.bam",
        "temporary",
    }
