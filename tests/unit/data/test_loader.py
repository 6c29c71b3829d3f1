import itertools
import json

import numpy as np
import pytest
import torch
from corpus_makers import MOUSE, make_corpus, make_counts
from same_batches import assert_same

from velocorpus.corpus import Corpus, schema
from velocorpus.corpus.plan import Splits
from velocorpus.data.loader import Loader
from velocorpus.data.tokens import batch_of
from velocorpus.errors import UserMistake

N_CELLS = 100


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Four studies of 25 cells for training in small blocks, one for validation."""
    folder = tmp_path_factory.mktemp("loader")
    inputs = [make_counts(folder, s, seed=i, n_cells=25) for i, s in enumerate("abc")]
    inputs += [make_counts(folder, "m", seed=9, n_cells=25, genes=MOUSE), make_counts(folder, "v", seed=5)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "BATCH_CELLS", 8)
        return Corpus(make_corpus(folder / "c", inputs, splits=Splits(("study_v",)), group_samples=2))


def loader(corpus, split="train", **changes):
    options = {
        "batch_cells": 7,
        "seed": 0,
        "modalities": ["spliced", "unspliced"],
        "max_genes": 20,
        "truncation": "sample",
        "window_blocks": 3,
    }
    return Loader(corpus, split, **(options | changes))


def rows_of(batches):
    return np.concatenate([batch.rows_B.numpy() for batch in batches])


def take(loader, n):
    return list(itertools.islice(loader, n))


def test_every_cell_comes_exactly_once_an_epoch_and_batches_are_full(corpus):
    batches = take(loader(corpus), 43)  # 301 cells: three epochs and the first cell of the fourth
    assert {len(batch) for batch in batches} == {7}
    for epoch in range(3):
        assert sorted(rows_of(batches)[epoch * N_CELLS : (epoch + 1) * N_CELLS]) == list(range(N_CELLS))


def test_epochs_are_shuffled_differently_and_the_seed_decides(corpus):
    first, second = (rows_of(loader(corpus).one_epoch(epoch)) for epoch in (0, 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, rows_of(loader(corpus, seed=1).one_epoch()))
    assert np.array_equal(first, rows_of(loader(corpus).one_epoch()))


def test_a_batch_holds_the_cells_that_its_rows_name(corpus):
    cells = corpus.read("train")
    for batch in take(loader(corpus, max_genes=10_000), 5):
        rng = np.random.default_rng(0)
        rows = batch.rows_B.numpy()
        assert_same(batch, batch_of(cells, rows, list(batch.layers), max_genes=10_000, truncation="top", rng=rng))


def test_cells_of_several_studies_meet_in_a_batch(corpus):
    studies = np.array(corpus.read("train").obs["study"].to_pylist())
    met = [len(set(studies[batch.rows_B.numpy()])) for batch in loader(corpus, window_blocks=16).one_epoch()]
    assert np.mean(met) > 2.5


@pytest.mark.parametrize("done", [0, 3, 14, 15, 40])
def test_a_resumed_loader_gives_the_identical_next_batches(corpus, done):
    whole = loader(corpus)
    take(whole, done)
    state = json.loads(json.dumps(whole.state_dict()))
    resumed = loader(corpus)
    resumed.load_state_dict(state)
    for one, two in zip(take(whole, 17), take(resumed, 17), strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("world_size", [2, 3, 5])
def test_ranks_share_the_batches_of_one_without_overlap(corpus, world_size):
    alone = take(loader(corpus), 15)
    ranks = [take(loader(corpus, rank=r, world_size=world_size), 15 // world_size) for r in range(world_size)]
    for number, batch in enumerate(alone[: 15 // world_size * world_size]):
        assert_same(batch, ranks[number % world_size][number // world_size])


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_one_epoch_over_all_ranks_has_every_cell_once(corpus, world_size):
    rows = [rows_of(loader(corpus, rank=r, world_size=world_size).one_epoch(3)) for r in range(world_size)]
    assert sorted(np.concatenate(rows)) == list(range(N_CELLS))


@pytest.mark.parametrize("world_size", [1, 3, 4])
def test_the_world_may_change_its_size_at_any_batch(corpus, world_size):
    two = [loader(corpus, rank=r, world_size=2) for r in range(2)]
    for one in two:
        take(one, 5)
    whole = loader(corpus)
    take(whole, 10)
    ranks = [loader(corpus, rank=r, world_size=world_size) for r in range(world_size)]
    for one in ranks:
        one.load_state_dict(two[1].state_dict())
    for number, batch in enumerate(take(whole, 12)):
        assert_same(batch, next(ranks[number % world_size]))
    assert ranks[0].state_dict()["batches"] == 22


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than a small machine has cores
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_the_batches_and_give_them_in_order(corpus, workers):
    one = loader(corpus)
    take(one, 2)
    resumed = loader(corpus)
    resumed.load_state_dict(one.state_dict())
    batches = iter(torch.utils.data.DataLoader(resumed, batch_size=None, num_workers=workers))
    for batch in take(one, 7):
        assert_same(batch, next(batches))
    assert resumed.state_dict(steps=7) == one.state_dict()


@pytest.mark.parametrize("readers", [0, 3])
def test_who_reads_ahead_changes_nothing(corpus, readers):
    for one, two in zip(take(loader(corpus), 30), take(loader(corpus, readers=readers), 30), strict=True):
        assert_same(one, two)


def test_padded_batches_are_the_packed_ones(corpus):
    padded = loader(corpus, max_genes=9).padded()
    for one, two in zip(take(loader(corpus, max_genes=9), 20), padded, strict=False):
        assert torch.equal(one.rows_B, two.rows_B)
        for layer, tokens in one.layers.items():
            assert torch.equal(two.layers[layer].sizes_B, tokens.offsets.diff())
            filled = torch.arange(9) < two.layers[layer].sizes_B[:, None]
            assert torch.equal(two.layers[layer].genes_BL[filled], tokens.genes_T)
            assert torch.equal(two.layers[layer].counts_BL[filled], tokens.counts_T)
            assert not two.layers[layer].counts_BL[~filled].any()


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch_cells": 8}, {"split": "validation"}])
def test_a_state_of_another_stream_is_refused(corpus, change):
    with pytest.raises(UserMistake, match="saved state"):
        loader(corpus, **change).load_state_dict(loader(corpus).state_dict())


def test_a_study_can_be_streamed_alone(corpus):
    one = loader(corpus, studies=["study_b"])
    cells = corpus.read("train", studies=["study_b"])
    assert one.n_cells == len(cells) == 25
    rng = np.random.default_rng(0)
    batch = next(loader(corpus, studies=["study_b"], max_genes=999))
    again = batch_of(cells, batch.rows_B.numpy(), list(batch.layers), max_genes=999, truncation="top", rng=rng)
    assert_same(batch, again)


def test_batches_larger_than_the_corpus_go_round(corpus):
    assert sorted(next(loader(corpus, "validation", batch_cells=80)).rows_B.tolist()) == sorted([*range(40)] * 2)


def test_a_split_without_cells_is_refused(corpus):
    with pytest.raises(UserMistake, match="has no cells"):
        loader(corpus, "test")
