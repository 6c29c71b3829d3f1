import numpy as np
import pytest
import torch
from corpus_makers import MOUSE, make_corpus, make_counts
from same_batches import assert_same

from velocorpus.corpus import Corpus, schema
from velocorpus.data.dataset import CellDataset
from velocorpus.data.tokens import batch_of

N_CELLS = 50


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dataset")
    inputs = [make_counts(folder, "a", n_cells=25), make_counts(folder, "m", seed=9, n_cells=25, genes=MOUSE)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "BATCH_CELLS", 8)
        return Corpus(make_corpus(folder / "c", inputs))


def dataset(corpus, **changes):
    options = {"modalities": ["spliced", "unspliced"], "max_genes": 10, "truncation": "top", "seed": 0}
    return CellDataset(corpus, "train", **(options | changes))


def expected(corpus, rows, studies=None):
    cells, rng = corpus.read("train", studies=studies), np.random.default_rng(0)
    return batch_of(cells, rows, ["spliced", "unspliced"], max_genes=10, truncation="top", rng=rng)


@pytest.mark.parametrize("cached_blocks", [1, 16])
def test_cells_come_in_the_order_asked_for_also_twice(corpus, cached_blocks):
    cells = dataset(corpus, cached_blocks=cached_blocks)
    assert len(cells) == N_CELLS
    rows = np.random.default_rng(1).integers(0, N_CELLS, 30)
    assert_same(cells.__getitems__(rows.tolist()), expected(corpus, rows))
    assert_same(cells[49], expected(corpus, np.array([49])))


def test_a_data_loader_draws_every_cell_once(corpus):
    cells = dataset(corpus)
    batches = list(torch.utils.data.DataLoader(cells, batch_size=7, shuffle=True, collate_fn=cells.collate))
    assert sorted(torch.cat([batch.rows_B for batch in batches]).tolist()) == list(range(N_CELLS))
    assert_same(batches[0], expected(corpus, batches[0].rows_B.numpy()))


def test_what_is_sampled_is_fixed_by_seed_and_rows(corpus):
    one, two, other = (dataset(corpus, truncation="sample", seed=seed) for seed in (0, 0, 1))
    assert_same(one.__getitems__([3, 30]), two.__getitems__([3, 30]))
    assert not torch.equal(one[3].layers["spliced"].genes_T, other[3].layers["spliced"].genes_T)


def test_cells_of_a_study_alone(corpus):
    assert_same(dataset(corpus, studies=["study_m"])[7], expected(corpus, np.array([7]), ["study_m"]))


@pytest.mark.parametrize("row", [-1, N_CELLS])
def test_a_number_that_is_no_cells_is_refused(corpus, row):
    with pytest.raises(IndexError, match=f"from 0 to {N_CELLS - 1}"):
        dataset(corpus)[row]
