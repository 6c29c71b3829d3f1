"""`chemistry`, `reads-qc`, `reads-sketches` and `reads-duplicates` end with one sentence and leave what they found."""

import json

import numpy as np
import pytest

from velocorpus.reads.chemistry.barcode_lists import BarcodeList
from velocorpus.reads.chemistry.kmers import write_index
from velocorpus.reads.chemistry.sketch import read_sketches, write_sketches
from velocorpus.simulate.libraries import make_library, two_species


@pytest.fixture(scope="module")
def reads(tmp_path_factory):
    """FASTQs of one v3 library (`1` barcodes, `2` cDNA), its list, and an index of its species."""
    folder, rng = tmp_path_factory.mktemp("reads"), np.random.default_rng(0)
    codes = np.unique(rng.integers(0, 4**16, 5000, np.uint64))
    human, _ = two_species(rng, n_genes=40)
    lists = {"10xv3": BarcodeList("10xv3", 16, codes)}
    files = make_library("10xv3", 1500, species=human, lists=lists, error=0.01, rng=rng)
    for number, role in ((1, "barcode"), (2, "cdna")):
        with (folder / f"{number}.fastq").open("w") as out:
            for i, row in enumerate(files[role]):
                read = "".join("ACGT"[base] for base in row)
                out.write(f"@r{i}\n{read}\n+\n{'F' * len(read)}\n")
    digits = (codes[:, None] >> np.arange(30, -2, -2, dtype=np.uint64)) & np.uint64(3)
    (folder / "list.txt").write_text("".join("".join("ACGT"[int(d)] for d in row) + "\n" for row in digits))
    write_index(folder / "human.npz", human.index())
    return folder


@pytest.fixture(autouse=True)
def no_carried_lists(monkeypatch):
    """Lists of millions of barcodes take seconds to load."""
    import velocorpus.reads.chemistry.barcode_lists as lists

    monkeypatch.setattr(lists, "CARRIED", {})


def chemistry(reads, *options):
    return ("chemistry", *options, "--whitelist", f"10xv3={reads}/list.txt", "--reference", reads / "human.npz")


def test_the_verdict_is_written(velocorpus, reads, tmp_path):
    done = velocorpus(*chemistry(reads, reads / "2.fastq", reads / "1.fastq"), "--json", tmp_path / "x.json")
    found = json.loads((tmp_path / "x.json").read_text())
    assert done.returncode == 0, done.stderr
    assert (found["chemistry"], found["lanes"][0]["barcode"], found["refused"]) == ("10xv3", "1.fastq", None)


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ("2", [], "technical reads"),
        ("12", ["--expect", "10xv2"], "the table says 10xv2, the reads are 10xv3"),
        ("21", ["--expect", "10xv3"], "read 1 and read 2 are swapped"),
        ("12", ["--expect", "10xv3", "--expect-organism", "mouse"], "the cDNA is of human"),
    ],
)
def test_a_refusal_is_one_sentence_beside_the_evidence(velocorpus, reads, tmp_path, files, options, said):
    fastqs = [reads / f"{number}.fastq" for number in files]
    done = velocorpus(*chemistry(reads, *fastqs), *options, "--json", tmp_path / "x.json")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
    assert said in json.loads((tmp_path / "x.json").read_text())["refused"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--table", "a.tsv"], "Give either FASTQs, or --table and --units"),
        ([], "Give either FASTQs"),
        (["x.fastq", "--whitelist", "10xv9=x"], "--whitelist '10xv9' is not known; allowed are 10xv1"),
        (["x.fastq", "--expect", "v3"], "--expect 'v3' is not known; allowed are 10xv1"),
        (["x.fastq", "--expect", "10xv3", "--expect-organism", "Human"], "'Human' is not known; allowed are human"),
        (["x.fastq", "--whitelist", "10xv3"], "is not NAME=FILE"),
    ],
)
def test_wrong_options_are_explained(velocorpus, options, said):
    done = velocorpus("chemistry", *options)
    assert done.returncode == 2
    assert said in done.stderr


def qc(reads, tmp_path, *options, sample="a"):
    outputs = ("--out", tmp_path / "qc.json", "--sketch", tmp_path / f"{sample}.npz", "--sample", sample)
    fastqs = (reads / "1.fastq", reads / "2.fastq")
    return ("reads-qc", *fastqs, "--chemistry", "10xv3", "--whitelist", reads / "list.txt", *outputs, *options)


def test_reads_are_measured_and_sketched(velocorpus, reads, tmp_path):
    assert velocorpus(*qc(reads, tmp_path)).returncode == 0
    assert json.loads((tmp_path / "qc.json").read_text())["valid_barcodes"]["share"] > 0.8
    assert len(read_sketches(tmp_path / "a.npz")["a"]) > 1000


def test_reads_beyond_a_limit_are_refused_with_what_was_measured(velocorpus, reads, tmp_path):
    done = velocorpus(*qc(reads, tmp_path, "--min-valid-barcodes", 0.99))
    assert done.returncode == 2
    assert "of the barcodes are on the list, 99% are asked for" in done.stderr
    assert json.loads((tmp_path / "qc.json").read_text())["refused"]


def sketched(folder, name, start, n=1000):
    """A sketch of the molecules `start`, `start` + 1, …, hashed as nothing is."""
    write_sketches(folder / f"{name}.npz", {name: np.arange(start, start + n, dtype=np.uint64)})
    return folder / f"{name}.npz"


def test_a_sample_is_refused_for_the_first_that_it_repeats(velocorpus, tmp_path):
    from velocorpus.outcomes.outcome import write_outcome

    other, one, two = sketched(tmp_path, "o", 9000), sketched(tmp_path, "one", 0), sketched(tmp_path, "two", 100)
    aside = tmp_path / "aside.npz"
    write_outcome(aside, sample="aside", state="refused", reason="no reads", stage="reads")
    assert velocorpus("reads-sketches", other, aside, one, "--out", tmp_path / "block.npz").returncode == 0
    found = velocorpus("reads-duplicates", two, "--earlier", tmp_path / "block.npz", "--out", tmp_path / "d.json")
    assert found.returncode == 2
    assert "two shares 90% of its molecules with one (10% are allowed)" in found.stderr
    assert json.loads((tmp_path / "d.json").read_text())["of"] == "one"


@pytest.mark.parametrize("options", [("--max-shared", 0.99), ()])
def test_a_new_library_passes(velocorpus, tmp_path, options):
    one, other = sketched(tmp_path, "one", 0), sketched(tmp_path, "other", 100 if options else 5000)
    above = [text for file in (one, other) for text in ("--earlier", file)]
    # A sketch is never held against itself.
    done = velocorpus("reads-duplicates", other, *above, *options, "--out", tmp_path / "d.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "d.json").read_text()) == {
        "compared": 1,
        "max_shared": options[1] if options else 0.1,
        "of": None,
        "refused": None,
        "shared": None,
    }
