"""`count`, `import` and `concord` as a user calls them."""

import json

import pytest
from bam_makers import ReadSpec, transcript_lines, write_bam

from velocorpus.counting.counts_file import read_counts

OPTIONS = {"bam": "reads.bam", "gtf": "genes.gtf", "barcodes": "cells.tsv", "out": "counts.h5ad"}


@pytest.fixture
def inputs(tmp_path):
    (tmp_path / "genes.gtf").write_text(transcript_lines("ENSG00000000003", "T1", [(1001, 1200), (2001, 2200)]))
    (tmp_path / "cells.tsv").write_text("AAAACCCC-1\n")
    write_bam(tmp_path / "reads.bam", [ReadSpec(1050, "90M"), ReadSpec(1500, "90M", umi="CCCC")])
    return tmp_path


@pytest.fixture
def count(velocorpus, inputs):
    def run(**changes):
        options = OPTIONS | changes
        return velocorpus("count", *(x for key, value in options.items() for x in (f"--{key}", inputs / value)))

    return run


def test_count_writes_counts_and_what_became_of_every_read(inputs, count):
    done = count(qc="qc.tsv")
    assert done.returncode == 0, done.stderr
    adata = read_counts(inputs / "counts.h5ad")
    assert adata.obs_names.tolist() == ["sample:AAAACCCC"]
    assert int(adata.layers["spliced"].sum()) == int(adata.layers["unspliced"].sum()) == 1
    rows = [line.split("\t") for line in (inputs / "qc.tsv").read_text().splitlines()]
    reads = [int(n) for section, _, n in rows if section == "reads"]
    assert ["total", "n_reads", "2"] in rows
    assert sum(reads) == 2
    assert adata.uns["velocorpus"]["source"]["qc"]["n_reads"] == 2
    assert adata.obs["unspliced_fraction"].tolist() == [0.5]


def test_what_called_the_cells_is_kept(velocorpus, inputs):
    given = {"bam": "reads.bam", "gtf": "genes.gtf", "barcodes": "cells.tsv", "out": "c.h5ad"}
    files = [x for name, file in given.items() for x in (f"--{name}", inputs / file)]
    velocorpus("count", *files, "--cells-called-by", "STARsolo EmptyDrops_CR")
    cells = read_counts(inputs / "c.h5ad").uns["velocorpus"]["source"]["cells"]
    assert cells == {"chosen_by": "list", "method": "STARsolo EmptyDrops_CR", "listed": 1}


def test_same_inputs_same_bytes(inputs, count):
    count()
    count(out="again.h5ad")
    assert (inputs / "counts.h5ad").read_bytes() == (inputs / "again.h5ad").read_bytes()


@pytest.mark.parametrize(
    ("broken", "text", "sentence"),
    [
        ("genes.gtf", '1\tx\tgene\t1\t2\t.\t+\t.\tgene_id "G";\n', "has no exon lines"),
        ("cells.tsv", "", "lists no barcodes"),
        ("cells.tsv", "GGGGGGGG-1\n", "has one of the 1 listed barcodes"),
        ("cells.tsv", "AAAACCCC-1\nAAAACCCC-2\n", "count every library by itself"),
        ("reads.bam", "no bam", "cannot be read as BAM, SAM or CRAM"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(inputs, count, broken, text, sentence):
    (inputs / broken).write_text(text)
    done = count()
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (inputs / "counts.h5ad").exists()


def test_masked_repeats_do_not_count(inputs, velocorpus):
    (inputs / "repeats.gtf").write_text("1\trepeats\trepeat\t1400\t1700\t.\t+\t.\trepeat\n")
    files = [x for option, name in OPTIONS.items() for x in (f"--{option}", inputs / name)]
    # As velocyto takes it, this mask is empty: it loses the last interval.
    for correction, unspliced in (("flags", 1), ("mask", 0)):
        done = velocorpus("count", *files, "--mask", inputs / "repeats.gtf", "--correct", correction)
        assert done.returncode == 0, done.stderr
        adata = read_counts(inputs / "counts.h5ad")
        assert [int(adata.layers[layer].sum()) for layer in ("spliced", "unspliced")] == [1, unspliced]
        assert len(adata.uns["velocorpus"]["source"]["mask_digest"]) == 64


def test_corrections_are_named_in_the_counts(inputs, velocorpus):
    files = [x for option, name in OPTIONS.items() for x in (f"--{option}", inputs / name)]
    done = velocorpus("count", *files, "--correct", "soft_clip", "--correct", "flags")
    assert done.returncode == 0, done.stderr
    source = read_counts(inputs / "counts.h5ad").uns["velocorpus"]["source"]
    assert source["corrections"] == ["flags", "soft_clip"]
    done = velocorpus("count", *files, "--correct", "everything")
    assert done.returncode == 2
    assert "allowed: soft_clip" in done.stderr


def test_missing_bam_is_one_sentence(inputs, count):
    done = count(bam="other.bam")
    assert done.returncode == 2
    assert "The BAM" in done.stderr


def test_import_and_concord_of_what_was_counted(inputs, count, velocorpus):
    count()
    done = velocorpus("import", inputs / "counts.h5ad", "--out", inputs / "again.h5ad")
    assert done.returncode == 0, done.stderr
    pair = [x for name in ("counts", "again") for x in ("--counts", f"{name}={inputs / name}.h5ad")]
    done = velocorpus("concord", *pair, "--out", inputs / "concord.json")
    assert done.returncode == 0, done.stderr
    table = json.loads((inputs / "concord.json").read_text())
    error = table["columns"].index("error")
    assert {row[error] for row in table["rows"] if row[2] == "all"} == {0}


def test_concord_leaves_out_what_was_set_aside_and_says_so(inputs, count, velocorpus):
    from velocorpus.outcomes.outcome import write_outcome

    count()
    write_outcome(inputs / "outcome.json", sample="a", state="ok")
    write_outcome(inputs / "kb.json", sample="k", state="failed", reason="out of memory", stage="align")
    given = [x for name in ("outcome.json", "counts.h5ad") for x in ("--counts", f"{name}={inputs / name}")]
    kb = ("--counts", f"kb={inputs / 'kb.json'}")
    done = velocorpus("concord", *given, *kb, "--out", inputs / "concord.json")
    assert done.returncode == 0, done.stderr
    table = json.loads((inputs / "concord.json").read_text())
    assert {(row[0], row[1]) for row in table["rows"]} == {("counts.h5ad", "outcome.json")}
    assert table["note"].endswith("kb is left out, failed at align: out of memory.")
    done = velocorpus("concord", *given[:2], *kb, "--out", inputs / "none.json")
    assert done.returncode == 2
    assert "Nothing is left to compare; kb is left out, failed at align: out of memory." in done.stderr
