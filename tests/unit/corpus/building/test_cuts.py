"""Cuts beside the paper's filter: the same cells in totals and in shards, and in what is added later."""

import json

import numpy as np
import pandas as pd
import pytest
from corpus_makers import make_corpus, make_counts
from typer.testing import CliRunner

from velocorpus.cells.filter import Cuts
from velocorpus.cli.corpus_jobs import app
from velocorpus.corpus import Corpus
from velocorpus.corpus.building.manifest import write_manifest
from velocorpus.corpus.building.totals import Totals, sample_totals
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.verify import verify
from velocorpus.errors import UserMistake

CUTS = Cuts(min_unspliced_fraction=0.45, max_mitochondrial_fraction=0.02, max_doublet_score=0.5)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Samples of 40 cells; half of those of `a` have a score above the bound, the last one has none."""
    folder = tmp_path_factory.mktemp("counts")
    scores = pd.DataFrame({"doublet_score": [*[0.2, 0.9] * 19, 0.9, np.nan]})
    return [make_counts(folder, "a", obs=scores), make_counts(folder, "b", seed=1)]


def passing(corpus):
    """What the default corpus' own columns say of who passes."""
    rows = corpus.read().obs.select(["cell_id", "unspliced_fraction", "mitochondrial_fraction", "doublet_score"])
    return {
        row["cell_id"]
        for row in rows.to_pylist()
        if (row["unspliced_fraction"] is None or row["unspliced_fraction"] >= 0.45)
        and (row["mitochondrial_fraction"] is None or row["mitochondrial_fraction"] <= 0.02)
        and (row["doublet_score"] is None or row["doublet_score"] <= 0.5)
    }


def test_cuts_keep_what_the_columns_say_and_the_manifest_has_them(tmp_path, inputs):
    every = Corpus(make_corpus(tmp_path / "every", inputs))
    assert every.manifest["filter"] == {"layer": "spliced", "min_counts": 1, "min_gene_counts": 0} | vars(Cuts())
    some = Corpus(make_corpus(tmp_path / "some", inputs, cuts=CUTS))
    expected = passing(every)
    assert set(some.read().obs["cell_id"].to_pylist()) == expected
    assert 0 < len(expected) < 80
    assert some.manifest["filter"] == {"layer": "spliced", "min_counts": 1, "min_gene_counts": 0} | vars(CUTS)
    assert verify(some.path) == []


def test_what_is_added_is_cut_alike(tmp_path, inputs):
    whole = Corpus(make_corpus(tmp_path / "whole", inputs, cuts=CUTS))
    grown = Corpus(add(make_corpus(tmp_path / "grown", inputs[:1], cuts=CUTS), inputs[1:], samples={}, group_samples=1))
    assert grown.manifest["content_digest"] == whole.manifest["content_digest"]
    assert grown.manifest["filter"] == whole.manifest["filter"]


def test_jobs_with_cuts_make_the_corpus_that_build_makes(tmp_path, inputs):
    whole = Corpus(make_corpus(tmp_path / "whole", inputs, cuts=CUTS))
    cuts = [word for name, bound in CUTS.applied.items() for word in ("--cut", f"{name}={bound}")]
    totals = [str(tmp_path / f"{i}.feather") for i in range(2)]
    vocab, out = str(tmp_path / "v"), tmp_path / "c"

    def run(*words):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output

    for path, one in zip(inputs, totals, strict=True):
        run("totals", path, "--out", one, "--min-counts", 1, *cuts)
    run("vocab", *totals, "--out", vocab)
    run("shard", *inputs, "--vocab", vocab, "--group", "g00000", "--out-dir", out / "shards", "--min-counts", 1, *cuts)
    shards = [word for path in sorted((out / "shards").iterdir()) for word in ("--shards", path)]
    given = [word for path in totals for word in ("--totals", path)]
    run("manifest", *shards, *given, "--vocab", vocab, "--out", out, "--min-gene-counts", 0)
    assert Corpus(out).manifest["content_digest"] == whole.manifest["content_digest"]
    assert Corpus(out).manifest["filter"] == whole.manifest["filter"]


def test_totals_with_other_cuts_make_no_corpus(tmp_path, inputs):
    totals = [sample_totals(inputs[0], min_counts=1), sample_totals(inputs[1], min_counts=1, cuts=CUTS)]
    totals[1].write(tmp_path / "t")
    assert Totals.read(tmp_path / "t").cuts == CUTS
    with pytest.raises(UserMistake, match=r"different cell filters .*max_doublet_score': 0.5.*; \{'min_counts': 1\}"):
        write_manifest(
            tmp_path,
            shards=[],
            totals=totals,
            vocabulary=Corpus(make_corpus(tmp_path / "c", inputs)).genes,
            samples={},
            splits=Splits(),
            min_gene_counts=0,
        )


def test_verify_finds_a_cell_that_does_not_pass_a_cut(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs)
    for path in (folder / "manifest.json", folder / "manifests/1.json"):
        manifest = json.loads(path.read_text())
        manifest["filter"]["max_doublet_score"] = 0.5
        path.write_text(json.dumps(manifest))
    assert any("does not pass the filter" in fault for fault in verify(folder))
