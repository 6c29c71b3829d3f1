"""A gene is its organism and its id: GFP in a human and in a mouse are two genes."""

import numpy as np
import pyarrow.feather as feather
import pytest
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts
from scipy import sparse

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.encoding import MORE
from velocorpus.corpus.export import to_anndata
from velocorpus.corpus.verify import verify
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.counting.counts_file import read_counts
from velocorpus.errors import UserMistake

SAMPLES = {"a": {"organism": "human"}, "m": {"organism": "mouse"}, "late": {"organism": "mouse"}}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    return {
        "a": make_counts(folder, "a", n_cells=5, genes=[*HUMAN[:20], "GFP", "ERCC-00002"]),
        "m": make_counts(folder, "m", n_cells=5, genes=["GFP", *MOUSE[:20]]),
        "late": make_counts(folder, "late", n_cells=5, genes=["ERCC-00002", *MOUSE[:20]], seed=1),
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, inputs):
    folder = make_corpus(tmp_path_factory.mktemp("c") / "c", [inputs["a"], inputs["m"]], samples=SAMPLES)
    return Corpus(add(folder, [inputs["late"]], samples=SAMPLES, group_samples=1))


def test_an_id_of_two_organisms_has_a_token_in_each_and_all_counts_come_back(corpus, inputs):
    genes = [*zip(corpus.genes.gene_ids, corpus.genes.organisms, strict=True)]
    for gene in ("GFP", "ERCC-00002"):
        assert [organism for name, organism in sorted(genes) if name == gene] == ["human", "mouse"]
    for sample, path in inputs.items():
        adata, organism = read_counts(path), SAMPLES[sample]["organism"]
        cells = corpus.read(samples=[sample], all_genes=True)
        rows = [adata.obs_names.get_loc(cell) for cell in cells.obs["cell_id"].to_pylist()]
        tokens = corpus.genes.tokens(adata.var_names, organism)
        for layer, csr in cells.layers.items():
            found = sparse.csr_matrix((csr.data, csr.indices, csr.indptr), shape=(len(cells), len(genes)))
            assert np.array_equal(found[:, tokens].toarray(), adata.layers[layer][rows].toarray())
    assert verify(corpus.path) == []


def test_totals_of_a_shared_id_stay_apart(corpus, inputs):
    for sample, organism in (("a", "human"), ("m", "mouse")):
        adata = read_counts(inputs[sample])
        (token,) = corpus.genes.tokens(["GFP"], organism)
        assert corpus.genes.totals["n_spliced"][token] == adata[:, "GFP"].layers["spliced"].sum()


def test_a_mouse_cells_first_gap_does_not_pay_for_the_human_genes(corpus):
    assert corpus.genes.first == {"human": 0, "mouse": 22}
    for shard in corpus.shards():
        for row in feather.read_table(shard.path).to_pylist():
            code = [*row["spliced_frequent"], *row["spliced_rare"]][0]
            first = corpus.genes.first[row["organism"]]
            cell = corpus.read(cells=[f"{row['sample']}:{row['barcode']}"], all_genes=True).layers["spliced"]
            assert code // MORE == cell.indices[0] - first + 1


def test_the_ids_around_say_whose_a_shared_id_is(corpus):
    mouse = corpus.genes.tokens(["GFP", *MOUSE[:20]], "mouse")
    assert np.array_equal(corpus.genes.tokens(["GFP", *MOUSE[:20]]), mouse)
    assert corpus.genes.tokens(["GFP", "nothing"], "zebrafish").tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("ids", "said"),
    [(["GFP"], "none of them"), (["GFP", HUMAN[0], MOUSE[0]], "human and mouse; give the cells of one")],
)
def test_a_shared_id_that_nothing_assigns_is_refused(corpus, ids, said):
    with pytest.raises(UserMistake, match=f"Gene GFP stands for human and mouse, and the other genes for {said}"):
        corpus.genes.tokens(ids)


def test_an_export_of_both_organisms_names_a_shared_id_by_organism(corpus):
    both = to_anndata(corpus, corpus.read())
    assert both.var_names.is_unique
    assert {"GFP:human", "GFP:mouse"} <= {*both.var_names}
    assert "GFP" in to_anndata(corpus, corpus.read(where={"organism": ["mouse"]})).var_names


def test_a_table_with_an_id_twice_in_one_organism_is_refused(tmp_path):
    twice = Vocabulary(["GFP", "GFP"], ["GFP", "GFP"], ["mouse", "mouse"], np.ones(2, bool))
    twice.write(tmp_path / "v")
    with pytest.raises(UserMistake, match="twice in one organism"):
        Vocabulary.read(tmp_path / "v")
