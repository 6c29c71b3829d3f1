import json
import shutil
from collections import deque

import pytest
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts
from store import store as make_store
from tests.drills import misbehaving as bad

from velocorpus.corpus import Corpus
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.lock import locked
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.sharing.publish import publish
from velocorpus.corpus.sharing.pull import pull
from velocorpus.corpus.verify import verify
from velocorpus.errors import TryLater, UserMistake


@pytest.fixture(scope="module")
def store(corpora):
    """A store with both versions, each in its own folder."""
    with make_store() as made:
        for name in ("v1", "v2"):
            publish(corpora[name], f"s3://corpora/{name}", how=made.how())
        yield made


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """`v1`: human a and b (validation), mouse m; `v2` has o of study_a and n of a study of its own too."""
    top = tmp_path_factory.mktemp("pull")
    counts = {
        s: make_counts(top / "in", s, seed=ord(s), n_cells=20, genes=MOUSE if s == "m" else HUMAN) for s in "abm"
    } | {
        s: make_counts(top / "in", s, seed=9 + ord(s), n_cells=20, study=f"study_{study}") for s, study in ("oa", "nn")
    }
    made = {name: top / name for name in ("v1", "v2")}
    make_corpus(made["v1"], [counts[s] for s in "abm"], splits=Splits(("study_b",), ()), group_samples=3)
    shutil.copytree(made["v1"], made["v2"])
    add(made["v2"], [counts["n"], counts["o"]], samples={}, group_samples=2)
    return made


@pytest.fixture
def get(store, tmp_path):
    """Pull a version to tmp_path/c."""

    def run(name="v2", out=tmp_path / "c", **more):
        options = {"how": store.how(), "wait_s": 0.001, "part_bytes": 4096} | more
        return pull(f"s3://corpora/{name}", out, **options)

    return run


def files_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_pulled_corpus_equals_the_published_one_and_verifies(store, get, corpora, tmp_path):
    get()
    assert verify(tmp_path / "c") == []
    files = files_of(tmp_path / "c")
    card = {name: store.read(f"v2/{name}") for name in ("README.md", "studies.tsv")}
    assert files == files_of(corpora["v2"]) | card
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_pulled_corpus_is_published_again_as_the_same_objects(store, get, tmp_path):
    get()
    publish(tmp_path / "c", "s3://corpora/again", how=store.how())
    assert store.names("again") == store.names("v2")
    assert all(store.read(f"again/{name}") == store.read(f"v2/{name}") for name in store.names("v2"))


@pytest.mark.parametrize(
    ("where", "samples"),
    [
        ({"split": ["validation"]}, "b"),
        ({"study": ["study_a"]}, "ao"),
        ({"organism": ["mouse"]}, "m"),
        ({"split": ["train"], "organism": ["human"]}, "ano"),
    ],
)
def test_a_part_is_a_corpus_with_the_cells_asked_for_that_names_the_whole(get, corpora, tmp_path, where, samples):
    get(where=where)
    assert verify(tmp_path / "c") == []
    part, whole = Corpus(tmp_path / "c"), Corpus(corpora["v2"])
    assert part.samples["sample"].to_pylist() == list(samples)
    assert part.manifest["subset"]["of"] == whole.digest
    ours, theirs = part.read(all_genes=True), whole.read(samples=list(samples), all_genes=True)
    assert ours.obs.equals(theirs.obs)
    assert all((ours.layers[name].data == theirs.layers[name].data).all() for name in ours.layers)
    studies = [line.split("\t")[0] for line in (tmp_path / "c" / "studies.tsv").read_text().splitlines()]
    assert studies == ["study", *sorted(set(part.samples["study"].to_pylist()))]
    assert whole.digest in (tmp_path / "c" / "README.md").read_text()


def test_a_part_fetches_only_shards_of_its_splits(store, get):
    since = len(store.site.asked)
    get(where={"split": ["validation"]})
    asked = {name for name in store.asked(since, "GET") if "/shards/" in name}
    assert asked == {"v2/shards/g00000.validation.feather"}


def test_an_earlier_version_comes_with_a_card_of_its_own(get, corpora, tmp_path):
    get(version=1)
    assert verify(tmp_path / "c") == []
    assert Corpus(tmp_path / "c").digest == Corpus(corpora["v1"]).digest
    assert Corpus(corpora["v1"]).digest in (tmp_path / "c" / "README.md").read_text()
    assert "study_n" not in (tmp_path / "c" / "studies.tsv").read_text()


def test_a_newer_version_fetches_what_an_older_copy_lacks(store, get, tmp_path):
    get("v1")
    since = len(store.site.asked)
    get("v2")
    assert "v2/shards/g00000.train.feather" not in store.asked(since, "GET")
    assert verify(tmp_path / "c") == []
    assert Corpus(tmp_path / "c").manifest["version"] == 2


def test_a_copy_that_was_damaged_is_mended(get, corpora, tmp_path):
    get()
    shard = tmp_path / "c" / "shards" / "g00000.train.feather"
    shard.write_bytes(bytes(shard.stat().st_size))
    get()
    assert verify(tmp_path / "c") == []


def test_a_pull_that_broke_leaves_nothing_and_goes_on(store, get, tmp_path):
    store.site.faults = deque([None] * 12 + [bad.status(503)] * 99)
    with pytest.raises(TryLater):
        get()
    store.site.faults = deque()
    assert not (tmp_path / "c").exists()
    came = [p.name for p in (tmp_path / "c.part").rglob("*.feather")]
    assert came
    since = len(store.site.asked)
    get()
    assert verify(tmp_path / "c") == []
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    again = {name.split("/")[-1] for name in store.asked(since, "GET")}
    assert not again & set(came)


def test_damage_in_the_bucket_is_found_and_nothing_is_left(store, get, corpora, tmp_path):
    publish(corpora["v1"], "s3://corpora/damaged", how=store.how())
    shard = "damaged/shards/g00000.train.feather"
    store.put(shard, bytes(len(store.read(shard))))
    with pytest.raises(UserMistake, match=r"is not what the manifest says \(SHA-256\)"):
        get("damaged")
    assert not (tmp_path / "c").exists()


def test_damage_on_the_way_is_fetched_again(store, get, corpora, tmp_path):
    shard = (corpora["v2"] / "shards" / "g00000.train.feather").read_bytes()
    changed = []

    def change_once(reply, rng):
        if reply.status == 206 and reply.body in shard and not changed:
            changed.append(reply)
            return bad.wrong_byte(reply, rng)
        return reply

    store.site.faults = deque([change_once] * 99)
    get()
    store.site.faults = deque()
    assert changed
    assert verify(tmp_path / "c") == []


@pytest.mark.parametrize("path", ["../evil", "shards/../../evil", "/tmp/evil", "shards/.."])
def test_a_manifest_that_names_files_elsewhere_is_refused(store, get, corpora, tmp_path, path):
    manifest = Corpus(corpora["v1"]).manifest
    manifest["shards"][0]["path"] = path
    store.put("evil/manifest.json", json.dumps(manifest).encode())
    with pytest.raises(UserMistake, match="which is no file of a corpus"):
        get("evil")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("manifest", [b"[]", b"{", b'{"version": 1, "schema_version": 2}'])
def test_a_manifest_of_something_else_is_refused(store, get, tmp_path, manifest):
    store.put("strange/manifest.json", manifest)
    with pytest.raises(UserMistake, match=r"is not a corpus'"):
        get("strange")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["notes", "other"])
def test_what_is_not_an_older_copy_is_not_replaced(get, tmp_path, what):
    folder = tmp_path / "c"
    if what == "other":
        make_corpus(folder, [make_counts(tmp_path / "in", "z", n_cells=5)])
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    before = files_of(folder)
    with pytest.raises(UserMistake, match="give a new folder"):
        get()
    assert files_of(folder) == before


def test_two_pulls_to_one_folder_do_not_meet(get, tmp_path):
    with locked(tmp_path / "c"), pytest.raises(TryLater, match="is being written by another process"):
        get()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": 3}, "has versions 1 to 2, not 3"),
        ({"where": {"study": ["study_x"]}}, "no study 'study_x'"),
        ({"name": "absent"}, "There is no s3://corpora/absent/manifest.json"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(get, tmp_path, options, said):
    with pytest.raises(UserMistake, match=said):
        get(**options)
    assert not (tmp_path / "c").exists()


def test_what_is_public_is_pulled_without_credentials(store, get, corpora):
    publish(corpora["v1"], "s3://corpora/open", how=store.how(), public=True)
    since = len(store.site.asked)
    with pytest.raises(UserMistake, match="--unsigned asks without credentials"):
        get(how=store.how(s3_unsigned=True))
    get("open", how=store.how(s3_unsigned=True, s3_requester_pays=True))
    asked = store.site.asked[since:]
    assert not [one for one in asked if "authorization" in one]
    assert {one.get("x-amz-request-payer") for one in asked[1:]} == {"requester"}
