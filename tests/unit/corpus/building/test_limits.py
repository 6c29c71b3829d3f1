"""At the edges of the code, of types and of the vocabulary every count comes back, or the input is refused by name."""

import numpy as np
import pandas as pd
import pytest
from corpus_makers import HUMAN, assert_holds, imported, make_corpus, make_counts
from scipy import sparse

from velocorpus.corpus import Corpus
from velocorpus.corpus.building.writer import write_shards
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.export import to_anndata
from velocorpus.corpus.info import corpus_table
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.verify import verify
from velocorpus.counting.counts_file import write_counts
from velocorpus.errors import UserMistake

EDGES = [1, 4, 5, 254, 255, 256, 509, 510, 511, 514, 515, 65_535, 65_536, 2**31 - 1]
MANY = 65_540
BIG_HUMAN = [f"ENSG{i:011d}" for i in range(MANY)]
BIG_MOUSE = [f"ENSMUSG{i:011d}" for i in range(MANY)]


def counts_at(places, n_genes):
    """Cells × genes with these (cell, gene, count), and one cell more that is empty."""
    rows, columns, values = zip(*places, strict=True)
    return sparse.csr_matrix((np.array(values, np.int64), (rows, columns)), shape=(max(rows) + 2, n_genes))


def test_counts_at_every_edge_come_back(tmp_path):
    layer = counts_at([(0, gene, count) for gene, count in enumerate(EDGES)], len(HUMAN))
    path = make_counts(tmp_path, layers={"spliced": layer, "unspliced": layer[:, ::-1], "ambiguous": layer})
    corpus = Corpus(make_corpus(tmp_path / "c", [path], min_counts=0))
    assert_holds(corpus, path)
    assert corpus.genes.totals["n_spliced"].max() == 2**31 - 1
    assert corpus.read(all_genes=True).obs["n_spliced"].to_pylist().count(sum(EDGES)) == 1
    assert verify(corpus.path) == []


def test_the_65_536th_gene_of_each_of_two_organisms_comes_back(tmp_path):
    # Token order follows frequency: gene 0 has the most counts, so that the edge genes come last.
    edge = [(cell, gene, 1 + gene) for cell in range(2) for gene in (0, 254, 255, 65_534, 65_535, 65_536, MANY - 1)]
    layer = counts_at(edge, MANY)
    full = sparse.csr_matrix(np.arange(MANY, 0, -1)[None, :])
    layers = {name: sparse.vstack([layer, full]).tocsr() for name in ("spliced", "unspliced", "ambiguous")}
    paths = [
        make_counts(tmp_path, "a", layers=layers, genes=BIG_HUMAN),
        make_counts(tmp_path, "m", layers=layers, genes=BIG_MOUSE),
    ]
    corpus = Corpus(make_corpus(tmp_path / "c", paths, min_counts=0))
    assert corpus.genes.first == {"human": 0, "mouse": MANY}
    for path in paths:
        assert_holds(corpus, path)


def test_a_cell_without_any_count_comes_back_where_the_filter_lets_it(tmp_path):
    layer = sparse.csr_matrix((3, len(HUMAN)), dtype=np.int64)
    path = make_counts(tmp_path, layers={"spliced": layer, "unspliced": layer})
    full = make_counts(tmp_path, "full", n_cells=3)
    corpus = Corpus(make_corpus(tmp_path / "c", [path, full], min_counts=0))
    cells = corpus.read(samples=["a"])
    assert cells.obs["unspliced_fraction"].to_pylist() == [None] * 3
    assert cells.layers["spliced"].indptr.tolist() == [0, 0, 0, 0]
    assert to_anndata(corpus, cells).X.nnz == 0
    assert verify(corpus.path) == []


def test_a_sample_without_a_cell_that_passes_is_in_the_table_with_none(tmp_path):
    some, none = make_counts(tmp_path, "some", n_cells=5), make_counts(tmp_path, "none", n_cells=1)
    corpus = Corpus(make_corpus(tmp_path / "c", [some, none], min_counts=2))
    assert dict(zip(*(corpus.samples[c].to_pylist() for c in ("sample", "cells")), strict=True)) == {
        "none": 0,
        "some": 4,
    }
    assert verify(corpus.path) == []


def test_a_gene_outside_a_frozen_vocabulary_is_refused_by_name(tmp_path):
    corpus = Corpus(make_corpus(tmp_path / "c", [make_counts(tmp_path, "a", n_cells=3)]))
    late = make_counts(tmp_path, "late", n_cells=3, genes=[*HUMAN[:-1], "ENSG99999999999"])
    with pytest.raises(UserMistake, match=r"no gene ENSG99999999999 of human \(1 such genes\)"):
        write_shards(
            {"late": late},
            tmp_path / "shards",
            group="g00001",
            vocabulary=corpus.genes,
            samples={},
            splits=Splits(),
            min_counts=1,
            seed=0,
        )


def test_more_bytes_than_an_arrow_list_holds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("velocorpus.corpus.building.writer.MOST_BYTES", 1000)
    with pytest.raises(UserMistake, match="an Arrow list holds 1000"):
        make_corpus(tmp_path / "c", [make_counts(tmp_path)])
    assert not (tmp_path / "c").exists()


def test_two_references_meet_by_stable_id_and_what_has_none_is_counted(tmp_path):
    """As 10x's 2020-A and 2024-A: other versions, other symbols, some genes in one only."""
    old = imported(tmp_path, "old", [f"{g}.5" for g in HUMAN[:20]], [f"OLD{i}" for i in range(20)])
    table = tmp_path / "2024.tsv"
    table.write_text("gene_id\tsymbol\n" + "".join(f"{g}\tNEW{i}\n" for i, g in enumerate(HUMAN[5:30])))
    names = [*(f"NEW{i}" for i in range(25)), "GONE"]
    new = imported(tmp_path, "new", names, names, table)
    corpus = Corpus(make_corpus(tmp_path / "c", [old], samples={"old": {"organism": "human"}}))
    add(corpus.path, [new], samples={"new": {"organism": "human"}}, group_samples=1)
    corpus = Corpus(corpus.path)
    assert sorted(corpus.genes.gene_ids) == HUMAN[:30]
    assert corpus.genes.gene_ids[20:] == [g for g in corpus.genes.gene_ids if g >= HUMAN[20]]
    for path in (old, new):
        assert_holds(corpus, path)
    assert "left out on import" in (note := corpus_table(corpus).note)
    assert "molecules of 1 genes)" in note


def test_ids_with_a_version_are_refused(tmp_path):
    path = tmp_path / "counts.h5ad"
    matrix = sparse.csr_matrix(np.ones((2, 1), int))
    genes = pd.DataFrame(index=["ENSG00000000003.15"])
    write_counts(
        path,
        layers={"spliced": matrix, "unspliced": matrix},
        sample="a",
        barcodes=["x", "y"],
        genes=genes,
        source={"organism": "human"},
    )
    with pytest.raises(UserMistake, match="1 gene ids with a version"):
        make_corpus(tmp_path / "c", [path])
