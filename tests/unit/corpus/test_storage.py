import re
from collections import deque
from pathlib import Path

import numpy as np
import pyarrow.fs
import pytest
from corpus_makers import make_corpus, make_counts
from store import store as make_store
from test_reader import DOCS
from tests.drills import misbehaving as bad
from typer.testing import CliRunner

from velocorpus.cli.main import app
from velocorpus.corpus import Corpus, bucket, storage
from velocorpus.corpus.changing.prune import prune
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.sharing.publish import publish
from velocorpus.corpus.storage import open_storage, require_folder
from velocorpus.corpus.verify import verify
from velocorpus.counting.counts_file import read_counts
from velocorpus.errors import TryLater, UserMistake

ADDRESS = "s3://corpora/c"


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    top = tmp_path_factory.mktemp("storage")
    return {sample: make_counts(top, sample, seed=ord(sample)) for sample in "av"}


@pytest.fixture(scope="module")
def store(inputs, tmp_path_factory):
    folder = make_corpus(tmp_path_factory.mktemp("c") / "c", list(inputs.values()), splits=Splits(("study_v",)))
    with make_store() as made, pytest.MonkeyPatch.context() as patch:
        publish(folder, ADDRESS, how=made.how())
        patch.setenv("AWS_ENDPOINT_URL_S3", made.site.address)
        yield made


def test_commands_that_only_read_take_an_address(store, tmp_path):
    told = CliRunner().invoke(app, ["corpus", "info", ADDRESS])
    assert (told.exit_code, "study_v" in told.stdout) == (0, True), told.output
    out = tmp_path / "v.h5ad"
    assert (
        CliRunner().invoke(app, ["corpus", "export", ADDRESS, "--study", "study_v", "--out", str(out)]).exit_code == 0
    )
    assert out.exists()


@pytest.mark.parametrize(
    "change",
    [
        verify,
        prune,
        lambda address: publish(address, "s3://corpora/d"),
        lambda address: Corpus(address).path,
        lambda address: Corpus(address).shards()[0].path,
    ],
)
def test_what_needs_a_folder_says_to_pull_it(store, change):
    with pytest.raises(UserMistake, match=f"{ADDRESS} is in a bucket.*`velocorpus corpus pull {ADDRESS}"):
        change(ADDRESS)


def test_an_address_survives_being_made_a_path(tmp_path, monkeypatch):
    with pytest.raises(UserMistake, match="s3://bucket/folder is in a bucket"):
        require_folder(Path("s3://bucket/folder"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserMistake, match="The corpus s3 does not exist"):
        open_storage("s3")


@pytest.mark.parametrize("command", [("info",), ("export", "--out", "x.h5ad")])
@pytest.mark.parametrize("fault", [bad.hang_up, bad.stall(5)])
def test_a_bucket_that_is_dead_or_silent_is_given_up_by_one_sentence_for_later(
    store, monkeypatch, tmp_path, command, fault
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bucket, "MAX_WAIT_S", 0)
    monkeypatch.setattr(storage, "PATIENCE", {"timeout_s": 0.2, "retries": 2})
    monkeypatch.setattr(store.site, "faults", deque([fault] * 9))
    told = CliRunner().invoke(app, ["corpus", command[0], ADDRESS, *command[1:]])
    assert isinstance(told.exception, TryLater)
    assert re.fullmatch(rf"{ADDRESS}: reading manifest.json broke in 3 tries .*", str(told.exception))
    assert (len(store.site.faults), [*tmp_path.iterdir()]) == (6, [])


def test_a_bucket_that_broke_for_good_is_not_asked_again(store, monkeypatch):
    monkeypatch.setattr(bucket, "MAX_WAIT_S", 0)
    corpus = Corpus(ADDRESS)
    monkeypatch.setattr(store.site, "faults", deque([bad.hang_up] * 5))
    with pytest.raises(TryLater, match="broke in 5 tries"):
        corpus.storage.read("manifest.json", "manifest")
    for ask in (lambda: corpus.storage.exists("manifest.json"), lambda: corpus.shards()[0].open()):
        with pytest.raises(TryLater, match=r"reading manifest\.json broke in 5 tries"):
            ask()
    assert len(Corpus(ADDRESS).shards()) == len(corpus.shards())


def test_refusals_name_what_the_command_has(store, monkeypatch):
    """`info` and `export` have no options for a store, and refuse none that they do not have."""
    monkeypatch.setattr(store.site, "faults", deque([bad.status(403)]))
    with pytest.raises(
        UserMistake, match=r"is not allowed.*; `velocorpus corpus pull s3://corpora/c` takes --endpoint,"
    ):
        Corpus(ADDRESS)
    with pytest.raises(UserMistake, match=f"no bucket 'elsewhere' at {store.site.address}; .*`velocorpus corpus pull"):
        Corpus("s3://elsewhere/c")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_documented_hugging_face_example_streams_from_s3(store, inputs, tmp_path, monkeypatch):
    """fsspec over pyarrow's own S3 client: s3fs, which users have, pins another botocore than this project's."""
    datasets, fsspec = pytest.importorskip("datasets"), pytest.importorskip("fsspec")
    from fsspec.implementations.arrow import ArrowFSWrapper

    class S3(ArrowFSWrapper):
        protocol, root_marker = "s3", ""

        def __init__(self, endpoint_url, key, secret):
            s3 = pyarrow.fs.S3FileSystem(endpoint_override=endpoint_url, access_key=key, secret_key=secret)
            super().__init__(s3)

    fsspec.register_implementation("s3", S3, clobber=True)
    datasets.disable_progress_bars()
    scope = {"address": ADDRESS, "storage_options": {"endpoint_url": store.site.address, "key": "t", "secret": "t"}}
    decode, example = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[:2]
    since = len(store.site.asked)
    exec(example, scope)
    assert set(scope["data"]) == {"train", "validation"}
    assert any("/shards/" in name for name in store.asked(since, "GET"))
    genes = Corpus(ADDRESS).genes
    for split, sample in (("train", "a"), ("validation", "v")):
        cell = next(iter(scope["data"][split]))
        found = {"np": np, "cell": cell, "first": genes.first[cell["organism"]]}
        exec(decode[decode.index("numbers =") :], found)
        row = read_counts(inputs[sample])[f"{sample}:{cell['barcode']}"]
        counts = row[:, [genes.gene_ids[token] for token in found["tokens"]]].layers["spliced"].toarray()[0]
        assert np.array_equal(counts, found["counts"])
        assert counts.sum() == row.layers["spliced"].sum() > 0
