import itertools
import pickle
from collections import deque

import numpy as np
import pytest
import torch
from corpus_makers import HUMAN, make_corpus, make_counts
from same_batches import assert_same
from store import store as make_store
from tests.drills import misbehaving as bad

from velocorpus.corpus import Corpus, bucket, schema, storage
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.sharing.publish import publish
from velocorpus.data.loader import Loader
from velocorpus.errors import TryLater, UserMistake

LOADERS: list[Loader] = []
N_BLOCKS = 13  # of the training split: 75 cells in a shard of a and b, and one of c, in blocks of 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("loader_s3")
    sizes = {"a": 50, "b": 25, "c": 20, "v": 10}
    inputs = [make_counts(top, s, seed=i, n_cells=n, genes=HUMAN) for i, (s, n) in enumerate(sizes.items())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "BATCH_CELLS", 8)
        return make_corpus(top / "c", inputs, splits=Splits(("study_v",)), group_samples=2)


@pytest.fixture(scope="module")
def store(folder):
    with make_store() as made:
        publish(folder, "s3://corpora/c", how=made.how())
        yield made


@pytest.fixture
def remote(store, monkeypatch):
    """The corpus in the bucket, of which no shard is small, and no pause is long."""
    monkeypatch.setattr(storage, "SMALL_BYTES", 4096)
    monkeypatch.setattr(bucket, "MAX_WAIT_S", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.site.address)
    return Corpus("s3://corpora/c")


def loader(corpus, **changes):
    options = {
        "batch_cells": 7,
        "seed": 0,
        "modalities": ["spliced", "unspliced"],
        "max_genes": 20,
        "truncation": "sample",
        "window_blocks": 3,
        "readers": 0,
    }
    made = Loader(corpus, "train", **(options | changes))
    LOADERS.append(made)
    return made


@pytest.fixture(autouse=True)
def _readers_end():
    """What a loader reads ahead must not count as a request of the next test, nor take its faults."""
    yield
    for made in LOADERS:
        if made._threads is not None:
            made._threads.shutdown(cancel_futures=True)
    LOADERS.clear()


def assert_same_stream(ones, others, n):
    for one, other in zip(itertools.islice(ones, n), itertools.islice(others, n), strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("readers", [0, 3])
@pytest.mark.parametrize("studies", [None, ["study_b", "study_c"]])
def test_batches_from_a_bucket_are_those_from_the_folder(folder, remote, studies, readers):
    local = loader(Corpus(folder), studies=studies)
    assert_same_stream(local, loader(remote, studies=studies, readers=readers), 30)


def test_a_small_shard_comes_whole_with_its_footer(store, folder, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", store.site.address)
    monkeypatch.setattr(storage, "SMALL_BYTES", 1 << 20)
    since, corpus = len(store.site.asked), Corpus("s3://corpora/c")
    assert_same_stream(loader(Corpus(folder)), loader(corpus), 30)
    shards = [name for name in store.asked(since, "GET") if "/shards/" in name]
    assert len(shards) == len(set(shards)) == 2


def test_a_block_is_one_request_and_a_footer_one_for_each_shard(store, remote):
    since, stream = len(store.site.asked), loader(remote, readers=3)
    assert len(store.site.asked) == since  # nothing before the first batch, where no study is left out
    for epoch, requests in ((0, N_BLOCKS + 2), (1, N_BLOCKS)):
        assert sum(len(batch) for batch in stream.one_epoch(epoch)) == stream.n_cells == 95
        assert len(store.site.asked) - since == requests
        since = len(store.site.asked)


def test_a_loader_of_some_studies_asks_for_many_batches_at_once(store, remote):
    since, store.site.most_open, store.site.slow_s = len(store.site.asked), 0, 0.2
    loader(remote, studies=["study_b"])
    store.site.slow_s = 0.0
    assert len(store.site.asked) - since == 11  # a shard's footer, and its record batches
    assert store.site.most_open > 1


def test_reading_cells_equals_the_folder(folder, remote):
    here, there = Corpus(folder).read(), remote.read()
    assert here.obs.equals(there.obs)
    assert here.layers.keys() == there.layers.keys()
    for layer, csr in here.layers.items():
        for one, other in zip(csr[:3], there.layers[layer][:3], strict=True):
            assert np.array_equal(one, other)
    assert remote.digest == Corpus(folder).digest


def test_a_forked_worker_asks_by_itself(folder, remote):
    workers = torch.utils.data.DataLoader(loader(remote), batch_size=None, num_workers=1)
    assert_same_stream(loader(Corpus(folder)), workers, 10)


def test_a_process_has_a_connection_of_its_own(remote, monkeypatch):
    mine = remote.storage._here().bucket
    assert remote.storage._here().bucket is mine
    monkeypatch.setattr(storage.os, "getpid", lambda: -1)
    assert remote.storage._here().bucket is not mine


def test_a_pickled_corpus_holds_no_connection(remote):
    assert pickle.loads(pickle.dumps(remote)).read("train").obs.equals(remote.read("train").obs)


def test_an_older_version_reads_from_the_bucket(folder, remote):
    assert Corpus("s3://corpora/c", 1).read().obs.equals(Corpus(folder, 1).read().obs)


def test_no_boto3_is_imported_for_a_folder(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    assert len(Corpus(folder).read("train")) == 95


@pytest.mark.parametrize(
    "faults", [[bad.status(503)], [bad.hang_up], [bad.drop], [bad.status(503), bad.drop, bad.status(500)]]
)
def test_what_passes_is_asked_for_again(store, folder, remote, faults):
    stream = loader(remote, readers=1)
    store.site.faults = deque([None, *faults])
    assert_same_stream(loader(Corpus(folder)), stream, 15)
    assert not store.site.faults


def test_what_does_not_pass_is_for_later(store, remote):
    store.site.faults = deque([bad.status(503)] * 6)
    with pytest.raises(TryLater, match=r"s3://corpora/c: reading shards/.* broke in 5 tries \(503\)"):
        next(loader(remote))
    store.site.faults.clear()


def test_what_is_read_ahead_gives_a_dead_bucket_up_at_once(store, remote):
    """Else each waiting block would be asked for again and again before the process ends."""
    store.site.faults, since = deque([bad.hang_up] * 1000), len(store.site.asked)
    stream = loader(remote, readers=1, window_blocks=6)
    with pytest.raises(TryLater):
        next(stream)
    stream._threads.shutdown(cancel_futures=False)
    store.site.faults.clear()
    assert len(store.site.asked) == since + 5


def test_a_refusal_is_told_at_once(store, remote):
    store.site.faults = deque([bad.status(403)])
    since = len(store.site.asked)
    with pytest.raises(UserMistake, match=r"s3://corpora/c/shards/.*not allowed"):
        next(loader(remote))
    assert len(store.site.asked) == since + 1


@pytest.fixture
def shard(store):
    """The key of the first shard, which is put back at the end."""
    key = "c/shards/g00000.train.feather"
    content = store.read(key)
    yield key
    store.put(key, content)


def test_a_missing_shard_is_named(store, remote, shard):
    store.client.delete_object(Bucket="corpora", Key=shard)
    with pytest.raises(UserMistake, match=f"There is no s3://corpora/{shard}"):
        next(loader(remote, window_blocks=99))


@pytest.mark.parametrize("change", [lambda c: c + b"x", lambda c: c[:-100], lambda c: c[:10], lambda c: b""])
def test_a_shard_of_another_size_is_refused(store, remote, shard, change):
    store.put(shard, change(store.read(shard)))
    with pytest.raises(UserMistake, match=f"s3://corpora/{shard} is not the one of the manifest"):
        next(loader(remote, window_blocks=99))


def test_a_shard_that_is_replaced_between_two_blocks_is_refused(store, remote, shard):
    stream = loader(remote, window_blocks=99)
    next(stream)
    content = bytearray(store.read(shard))
    content[5000] ^= 1
    store.put(shard, bytes(content))
    with pytest.raises(UserMistake, match=f"s3://corpora/{shard} is not the one of the manifest"):
        list(stream.one_epoch(1))


@pytest.mark.parametrize("end", [bytes(10), b"\xff\xff\xff\x7fARROW1", b"\x08\x00\x00\x00ARROW1"])
def test_a_shard_without_a_footer_is_refused(store, remote, shard, end):
    store.put(shard, store.read(shard)[:-10] + end)
    with pytest.raises(UserMistake, match=f"s3://corpora/{shard} cannot be read as Arrow"):
        next(loader(remote, window_blocks=99))


def test_a_table_that_is_not_the_manifests_is_refused(store, remote):
    key = "c/" + remote.manifest["files"]["genes"]["path"]
    content = store.read(key)
    store.put(key, content + b"x")
    try:
        with pytest.raises(UserMistake, match=f"s3://corpora/{key} is not that of its manifest"):
            Corpus("s3://corpora/c")
    finally:
        store.put(key, content)
