import json
import shutil
from collections import deque

import pytest
from corpus_makers import make_corpus, make_counts
from store import store as make_store
from tests.drills import misbehaving as bad
from typer.testing import CliRunner

from velocorpus.cli.corpus import app
from velocorpus.corpus.changing.samples import add, remove
from velocorpus.corpus.sharing.publish import publish
from velocorpus.corpus.verify import verify
from velocorpus.errors import TryLater, UserMistake

PART = 4096


@pytest.fixture(scope="module")
def store():
    with make_store() as made:
        yield made


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """`v1`, `v2` that grew from it, and `other`, whose shards have the same names."""
    top = tmp_path_factory.mktemp("publish")
    counts = {s: make_counts(top / "in", s, seed=ord(s), n_cells=20) for s in "abc"}
    made = {name: top / name for name in ("v1", "v2", "other")}
    make_corpus(made["v1"], [counts["a"]])
    shutil.copytree(made["v1"], made["v2"])
    add(made["v2"], [counts["b"]], samples={}, group_samples=2)
    make_corpus(made["other"], [counts["c"]])
    return made


@pytest.fixture
def send(store, request):
    """Publish to a folder of the test's own."""
    folder = request.node.name.replace("[", "-").rstrip("]")

    def run(corpus, **more):
        options = {"how": store.how(), "wait_s": 0.001, "part_bytes": PART} | more
        return publish(corpus, f"s3://corpora/{folder}", **options)

    run.folder = folder
    return run


def test_every_file_is_there_byte_by_byte_and_the_manifest_went_last(store, corpora, send):
    since = len(store.site.asked)
    done = send(corpora["v1"])
    files = {str(p.relative_to(corpora["v1"])): p for p in corpora["v1"].rglob("*") if p.is_file()}
    assert set(store.names(send.folder)) == {*files, "README.md", "studies.tsv", "publishing.json"}
    assert all(store.read(f"{send.folder}/{name}") == path.read_bytes() for name, path in files.items())
    assert store.asked(since, "PUT")[-1] == f"{send.folder}/manifest.json"
    assert done.sent == len(files) + 2


def test_what_is_large_goes_in_parts_with_checksums(store, corpora, send):
    send(corpora["v1"])
    shard = f"{send.folder}/shards/g00000.train.feather"
    head = store.client.head_object(Bucket="corpora", Key=shard, ChecksumMode="ENABLED")
    parts = -(-(corpora["v1"] / "shards" / "g00000.train.feather").stat().st_size // PART)
    assert parts > 1
    assert head["ETag"].endswith(f'-{parts}"')
    assert "ChecksumSHA256" in head


def test_nothing_is_sent_twice_and_a_grown_corpus_sends_what_is_new(store, corpora, send):
    send(corpora["v1"])
    since = len(store.site.asked)
    assert (send(corpora["v1"]).sent, store.asked(since, "PUT")) == (0, [])
    since = len(store.site.asked)
    send(corpora["v2"])
    assert f"{send.folder}/shards/g00000.train.feather" not in store.asked(since, "PUT")
    assert f"{send.folder}/shards/g00001.train.feather" in store.asked(since, "PUT")
    assert store.read(f"{send.folder}/manifest.json") == (corpora["v2"] / "manifest.json").read_bytes()


def test_an_unfinished_upload_is_gone_on_with_and_a_strange_one_aborted(store, corpora, send):
    path, name = corpora["v1"] / "shards" / "g00000.train.feather", f"{send.folder}/shards/g00000.train.feather"
    begin = {"Bucket": "corpora", "ChecksumAlgorithm": "SHA256"}
    upload = store.client.create_multipart_upload(Key=name, **begin)["UploadId"]
    words = {"Bucket": "corpora", "Key": name, "UploadId": upload}
    store.client.upload_part(**words, PartNumber=1, Body=path.read_bytes()[:PART], ChecksumAlgorithm="SHA256")
    store.client.create_multipart_upload(Key=f"{send.folder}/shards/strange.feather", **begin)
    since = len(store.site.asked)
    send(corpora["v1"])
    numbers = [
        one[":request"] for one in store.site.asked[since:] if f"uploadId={upload}&partNumber" in one[":request"]
    ]
    assert numbers
    assert not [one for one in numbers if one.endswith("partNumber=1")]
    assert "Uploads" not in store.client.list_multipart_uploads(Bucket="corpora", Prefix=send.folder)
    assert store.read(name) == path.read_bytes()


def test_an_object_that_was_changed_or_deleted_is_sent_again(store, corpora, send):
    send(corpora["v1"])
    shards = [f"{send.folder}/shards/g00000.{split}.feather" for split in ("train", "test")]
    whole = [store.read(shard) for shard in shards]
    store.put(shards[0], bytes(len(whole[0])))
    store.client.delete_object(Bucket="corpora", Key=shards[1])
    assert send(corpora["v1"]).sent == 2
    assert [store.read(shard) for shard in shards] == whole


def test_a_publishing_that_broke_shows_the_version_before_and_goes_on(store, corpora, send):
    send(corpora["v1"])
    store.site.faults = deque([None] * 14 + [bad.status(503)] * 99)
    with pytest.raises(TryLater, match="run again later"):
        send(corpora["v2"])
    store.site.faults = deque()
    assert store.read(f"{send.folder}/manifest.json") == (corpora["v1"] / "manifest.json").read_bytes()
    assert send(corpora["v2"]).equal > 0
    assert store.read(f"{send.folder}/manifest.json") == (corpora["v2"] / "manifest.json").read_bytes()


@pytest.mark.parametrize("split", ["train", "test"])
def test_bytes_changed_on_their_way_are_sent_again(store, corpora, send, split):
    """One shard goes in parts, the other in one piece."""
    name = f"shards/g00000.{split}.feather"
    content = (corpora["v1"] / name).read_bytes()
    changed = []

    def change_once(body, rng):
        if body and body in content and not changed:
            changed.append(body)
            return bad.sent_wrong(body, rng)
        return body

    store.site.sent_faults = deque([change_once] * 60)
    send(corpora["v1"])
    store.site.sent_faults = deque()
    assert changed
    assert store.read(f"{send.folder}/{name}") == content


def test_a_broken_corpus_is_never_published(store, corpora, send, tmp_path):
    shutil.copytree(corpora["v1"], tmp_path / "c")
    path = tmp_path / "c" / "shards" / "g00000.train.feather"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserMistake, match="a broken corpus is not published"):
        send(tmp_path / "c")
    assert store.names(send.folder) == []


def test_another_corpus_is_only_replaced_on_request_and_then_whole(store, corpora, send):
    send(corpora["v2"])
    before = {name: store.read(f"{send.folder}/{name}") for name in store.names(send.folder)}
    with pytest.raises(UserMistake, match="holds another corpus"):
        send(corpora["other"])
    assert {name: store.read(f"{send.folder}/{name}") for name in store.names(send.folder)} == before
    since = len(store.site.asked)
    send(corpora["other"], replace=True)
    assert store.asked(since, "DELETE")[0] == f"{send.folder}/manifest.json"
    kept = {str(p.relative_to(corpora["other"])) for p in corpora["other"].rglob("*") if p.is_file()}
    assert set(store.names(send.folder)) == {*kept, "README.md", "studies.tsv", "publishing.json"}


def test_an_older_version_is_not_put_over_a_newer_one(store, corpora, send):
    send(corpora["v2"])
    with pytest.raises(UserMistake, match="holds a later version of this corpus than 1"):
        send(corpora["v1"])


def test_a_folder_of_other_things_is_left_alone(store, corpora, send):
    store.put(f"{send.folder}/holiday.jpg", b"x")
    with pytest.raises(UserMistake, match=r"1 object\(s\) that are no corpus \(for example holiday.jpg\)"):
        send(corpora["v1"])
    assert store.names(send.folder) == ["holiday.jpg"]


def test_a_manifest_that_is_none_is_another_corpus(store, corpora, send):
    store.put(f"{send.folder}/manifest.json", b"not JSON")
    with pytest.raises(UserMistake, match="holds another corpus"):
        send(corpora["v1"])


def test_while_another_corpus_is_on_its_way_this_one_is_refused(store, corpora, send):
    store.put(f"{send.folder}/publishing.json", json.dumps({"manifest": "0" * 64}).encode())
    with pytest.raises(UserMistake, match=r"another corpus .* is being published there"):
        send(corpora["v1"])


def test_a_manifest_that_came_meanwhile_is_not_overwritten(store, corpora, send):
    send(corpora["v1"])

    def other_came(reply, rng):
        store.put(f"{send.folder}/manifest.json", b"{}")
        return reply

    # After the manifest was read, and long before it is written.
    store.site.faults = deque([None] * 7 + [other_came])
    with pytest.raises(TryLater, match=r"manifest.json was changed by someone else meanwhile"):
        send(corpora["v2"])
    assert store.read(f"{send.folder}/manifest.json") == b"{}"


def test_a_later_version_that_began_meanwhile_keeps_its_card(store, corpora, send):
    def other_began(reply, rng):
        store.put(f"{send.folder}/publishing.json", b'{"manifest": "later"}')
        return reply

    # When this one has begun, and long before its card is sent.
    store.site.faults = deque([None] * 4 + [other_began])
    with pytest.raises(TryLater, match=r"publishing.json was changed by someone else meanwhile"):
        send(corpora["v1"])
    assert not {"README.md", "manifest.json"} & set(store.names(send.folder))


def test_what_a_version_drops_stays_until_it_is_pruned(store, corpora, send, tmp_path):
    from velocorpus.corpus.changing.prune import prune

    shutil.copytree(corpora["v2"], tmp_path / "c")
    send(tmp_path / "c")
    remove(tmp_path / "c", ["b"], because="retracted", by="")
    send(tmp_path / "c", prune=True)
    dropped = "shards/g00001.train.feather"
    assert dropped in store.names(send.folder)
    prune(tmp_path / "c")
    assert verify(tmp_path / "c") == []
    send(tmp_path / "c")
    assert dropped in store.names(send.folder)
    assert send(tmp_path / "c", prune=True).removed == 1
    assert dropped not in store.names(send.folder)


def test_requester_pays_is_said_in_every_request(store, corpora, send):
    since = len(store.site.asked)
    send(corpora["v1"], how=store.how(s3_requester_pays=True))
    assert {one.get("x-amz-request-payer") for one in store.site.asked[since:]} == {"requester"}


def test_public_objects_may_be_read_by_anyone_also_those_that_were_there(store, corpora, send):
    send(corpora["v1"])
    send(corpora["v1"], public=True)
    for name in ("shards/g00000.train.feather", "README.md"):
        grants = store.client.get_object_acl(Bucket="corpora", Key=f"{send.folder}/{name}")["Grants"]
        assert "READ" in [grant["Permission"] for grant in grants if grant["Grantee"]["Type"] == "Group"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("corpora/x", "is not the address of a folder on S3"),
        ("s3://", "is not the address of a folder on S3"),
        ("https://corpora/x", "is not the address of a folder on S3"),
        ("s3://nobody-has-this/x", "There is no bucket 'nobody-has-this'"),
    ],
)
def test_a_wrong_address_is_one_sentence(store, corpora, address, said):
    with pytest.raises(UserMistake, match=said):
        publish(corpora["v1"], address, how=store.how())


def test_a_missing_permission_is_one_sentence_and_final(store, corpora, send):
    store.site.faults = deque([bad.status(403)])
    with pytest.raises(UserMistake, match=r"is not allowed \(403\)") as refused:
        send(corpora["v1"])
    assert not isinstance(refused.value, TryLater)


def test_the_command_publishes_pulls_and_says_what_it_did(store, corpora, tmp_path):
    def run(*words):
        return CliRunner().invoke(app, [*map(str, words), "--endpoint", store.site.address])

    said = run("publish", corpora["v1"], "s3://corpora/command").output
    assert "The licence of 1 studies is not known" in said
    assert "0 were there, 0 removed" in said
    assert (
        "20 cells of 1 samples, verified"
        in run("pull", "s3://corpora/command", "--out", tmp_path / "c", "--split", "train").output
    )
    refused = run("pull", "s3://corpora/nothing", "--out", tmp_path / "d").exception
    assert "There is no s3://corpora/nothing/manifest.json" in str(refused)
