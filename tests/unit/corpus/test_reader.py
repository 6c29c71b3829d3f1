import re
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts
from pyarrow import feather

from velocorpus import names
from velocorpus.corpus import Corpus, schema
from velocorpus.corpus.encoding import decode
from velocorpus.corpus.export import to_anndata
from velocorpus.corpus.info import corpus_figures, corpus_table
from velocorpus.counting.counts_file import read_counts
from velocorpus.errors import UserMistake

DOCS = Path(__file__).parents[3] / "docs" / "data-format.md"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    labels = pd.DataFrame({"cell_type": ["T cell"] * 39 + [None], "pseudotime": np.arange(40.0)})
    return [make_counts(folder, "a", seed=1, obs=labels), make_counts(folder, "m", seed=2, genes=MOUSE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, inputs):
    return make_corpus(tmp_path_factory.mktemp("corpus") / "c", inputs)


def assert_row_holds(row, corpus, inputs):
    """A plain row of a shard, decoded by the contract's lines, is that cell's counts."""
    adata = read_counts(inputs[0] if row["sample"] == "a" else inputs[1])
    first = corpus.genes.first[row["organism"]]
    for layer in ("spliced", "unspliced", "ambiguous"):
        found = np.zeros(len(corpus.genes), np.int64)
        columns = (np.array(row[column], np.uint8) for column in schema.layer_columns(layer))
        tokens, counts = decode(*columns, first)
        found[tokens] = counts
        truth = adata[f"{row['sample']}:{row['barcode']}"].layers[layer].toarray()[0]
        assert np.array_equal(found[corpus.genes.tokens(adata.var_names)], truth)
        assert found.sum() == truth.sum() == row[f"n_{layer}"]


def test_pyarrow_feather_reads_a_shard_with_counts_intact(folder, inputs):
    corpus = Corpus(folder)
    table = feather.read_table(folder / "shards" / "g00000.train.feather")
    assert table.num_rows == 80
    for row in table.to_pylist():
        assert_row_holds(row, corpus, inputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_hugging_face_datasets_reads_all_shards_with_counts_intact(folder, inputs, tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    files = sorted(map(str, (folder / "shards").glob("*.feather")))
    assert len(files) == len(names.SPLITS)
    data = datasets.load_dataset("arrow", data_files=files, split="train", cache_dir=str(tmp_path))
    assert data.num_rows == 80
    for row in data.select(range(0, 80, 7)):
        assert_row_holds(row, Corpus(folder), inputs)


def test_the_documented_example_reads_a_cell_with_plain_pyarrow(folder, inputs, monkeypatch):
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(code.strip().splitlines()) <= 8
    monkeypatch.chdir(folder)
    scope = {}
    exec(code, scope)
    cell = scope["cell"]
    adata = read_counts(inputs[0] if cell["sample"] == "a" else inputs[1])
    row = adata[f"{cell['sample']}:{cell['barcode']}"]
    gene_ids = [scope["genes"]["gene_id"][int(token)].as_py() for token in scope["tokens"]]
    assert np.array_equal(row[:, gene_ids].layers["spliced"].toarray()[0], scope["counts"])
    assert row.layers["spliced"].sum() == scope["counts"].sum()


def test_every_column_of_a_shard_is_documented(folder):
    text = DOCS.read_text(encoding="utf-8")
    columns = feather.read_table(folder / "shards" / "g00000.train.feather").column_names
    assert [name for name in columns if f"`{name}`" not in text] == []


def test_labels_come_back_and_absent_ones_are_null(folder):
    cells = Corpus(folder).read(samples=["a"]).obs.sort_by("barcode")
    assert cells["cell_type"].to_pylist() == ["T cell"] * 39 + [None]
    assert cells["pseudotime"].to_pylist() == list(range(40))
    assert set(Corpus(folder).read(samples=["m"]).obs["cell_type"].to_pylist()) == {None}


def test_selections_keep_the_order_of_the_whole(folder):
    corpus = Corpus(folder)
    whole = corpus.read().obs
    some = corpus.read(studies=["study_m"], layers=["unspliced"])
    assert some.obs["cell_id"].to_pylist() == [c for c in whole["cell_id"].to_pylist() if c.startswith("m:")]
    assert list(some.layers) == ["unspliced"]


def test_tokens_of_an_organism_are_its_own(folder):
    tokens = Corpus(folder).read(samples=["m"], all_genes=True).layers["spliced"].indices
    assert tokens.min() >= len(HUMAN)


def test_totals_of_a_csr_are_sums_of_its_rows(folder):
    cells = Corpus(folder).read(all_genes=True)
    assert np.array_equal(cells.layers["unspliced"].totals, cells.obs["n_unspliced"].to_numpy())


@pytest.mark.parametrize("selection", [{"split": "dev"}, {"studies": ["nobody"]}, {"samples": ["nobody"]}])
def test_unknown_names_are_refused(folder, selection):
    with pytest.raises(UserMistake, match=r"dev|nobody"):
        Corpus(folder).read(**selection)


def test_an_empty_split_reads_as_no_cells(folder):
    cells = Corpus(folder).read("test")
    assert len(cells) == 0
    assert cells.layers["spliced"].indptr.tolist() == [0]


def test_export_gives_the_counts_back(folder, inputs):
    corpus = Corpus(folder)
    adata = to_anndata(corpus, corpus.read(samples=["a"], all_genes=True))
    truth = read_counts(inputs[0])[adata.obs_names, adata.var_names]
    assert (adata.layers["ambiguous"] != truth.layers["ambiguous"]).nnz == 0
    assert (truth.layers["spliced"] != adata.X).nnz == 0
    assert adata.n_vars == len(HUMAN)
    assert adata.obs["study"].unique().tolist() == ["study_a"]


def test_an_export_can_be_written(folder, tmp_path):
    corpus = Corpus(folder)
    to_anndata(corpus, corpus.read(all_genes=True)).write_h5ad(tmp_path / "x.h5ad")
    assert ad.read_h5ad(tmp_path / "x.h5ad").n_obs == 80


def test_info_counts_cells_and_bits(folder, inputs):
    corpus = Corpus(folder)
    figures = corpus_figures(corpus)
    nonzeros = sum(read_counts(p).layers[k].nnz for p in inputs for k in ("spliced", "unspliced", "ambiguous"))
    assert (figures["cells"], figures["nonzeros"]) == (80, nonzeros)
    assert [row[:5] for row in corpus_table(corpus).rows] == [
        ("study_a", "human", "train", 1, 40),
        ("study_m", "mouse", "train", 1, 40),
    ]


def test_the_reader_needs_numpy_pyarrow_and_numba_only():
    code = (
        "import sys, velocorpus.corpus, velocorpus.corpus.schema\n"
        "print([m for m in ('torch', 'pandas', 'anndata', 'scanpy', 'h5py') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
