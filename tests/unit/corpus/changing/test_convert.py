"""A corpus that commit 7442843 made (`tests/data/corpus_v1/make.py`), brought to the schema of today."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts, random_layers
from store import store
from typer.testing import CliRunner

from velocorpus import names
from velocorpus.cells.filter import NO_CUTS
from velocorpus.cli.main import app
from velocorpus.corpus import Corpus, schema
from velocorpus.corpus.building.totals import Totals, sample_totals
from velocorpus.corpus.changing.convert import convert, recode
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.encoding import decode_layer
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import encoded_layer
from velocorpus.corpus.shard import shard_entry
from velocorpus.corpus.sharing.pull import pull
from velocorpus.corpus.verify import verify
from velocorpus.corpus.vocabulary import Vocabulary, write_table
from velocorpus.errors import UserMistake
from velocorpus.files import read_json, sha256, write_json

OLD = Path(__file__).parents[3] / "data/corpus_v1/corpus"
TRAIN = "shards/g00000.train.dab7d99ae5081c64.feather"


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    return convert(OLD, tmp_path_factory.mktemp("convert") / "new")


@pytest.fixture
def old(tmp_path):
    """A copy to damage."""
    return shutil.copytree(OLD, tmp_path / "old")


def say_of(old, **changes):
    """Change the manifest of an old corpus."""
    write_json(old / "manifest.json", read_json(old / "manifest.json") | changes)


def test_a_corpus_of_version_1_is_refused_with_the_command_that_converts_it():
    with pytest.raises(UserMistake, match=r"corpus schema 1.*`velocorpus corpus convert`"):
        Corpus(OLD)


def test_the_command_converts_and_names_what_it_leaves_behind(tmp_path):
    result = CliRunner().invoke(app, ["corpus", "convert", str(OLD), "--out", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert f"versions 1 to 1 are left behind in {OLD}" in result.stderr
    assert verify(tmp_path / "new") == []


def test_a_converted_corpus_has_no_fault(new):
    assert verify(new) == []


@pytest.mark.parametrize(("sample", "seed"), [("a", 1), ("c", 3)])
def test_every_count_is_what_it_was(new, sample, seed):
    cells = Corpus(new).read(samples=[sample], all_genes=True)
    at = [int(barcode[2:]) for barcode in cells.obs["barcode"].to_pylist()]
    ids, genes = Corpus(new).genes.gene_ids, {"a": HUMAN, "c": MOUSE}[sample][:60]
    for layer, counts in random_layers(seed, 20, 60).items():
        dense = np.zeros((20, len(ids)), np.int64)
        csr = cells.layers[layer]
        dense[np.repeat(np.arange(20), np.diff(csr.indptr)), csr.indices] = csr.data
        np.testing.assert_array_equal(dense[:, [ids.index(gene) for gene in genes]], counts.toarray()[at])


def test_long_gaps_great_counts_and_cells_without_counts_are_read_as_they_were_written():
    tokens, counts = [0, 254, 509, 4095, 4096, 36_600], [1, 4, 5, 255, 510, 70_000]
    rows = {"genes": [[], np.diff(tokens, prepend=-1), []], "counts": [[], counts, []]}

    def stored(values):
        return [byte for v in values for byte in [255] * (v // 255) + [v % 255]]

    columns = {f"{layer}_{key}": [stored(row) for row in rows[key]] for layer in names.LAYERS for key in rows}
    old = pa.table({name: pa.array(lists, pa.list_(pa.uint8())) for name, lists in columns.items()}).to_batches()[0]
    new = recode(old, schema.SHARD_SCHEMA)
    for layer in names.LAYERS:
        every = np.ones(40_000, bool)
        decoded = decode_layer(encoded_layer(new, layer), np.arange(3), np.full(3, 7), every)
        assert [part.tolist() for part in decoded] == [[0, 0, 6, 6], [7 + token for token in tokens], counts]


def test_shards_keep_their_names_rows_seeds_and_content_digests(new):
    same = ("path", "group", "split", "rows", "seed", "content_digest")
    kept = [[{key: e[key] for key in same} for e in read_json(f / "manifest.json")["shards"]] for f in (OLD, new)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("name", ["cells", "content_digest", "counts", "vocabulary", "genes_kept", "splits", "removed"])
def test_the_manifest_keeps(new, name):
    assert Corpus(new).manifest[name] == read_json(OLD / "manifest.json")[name]


def test_tables_and_the_columns_of_cells_stay_as_they_were_in_the_same_order(new):
    for name in ("genes.feather", "samples.feather"):
        assert feather.read_table(new / name).equals(feather.read_table(OLD / name))
    was, now = (feather.read_table(folder / TRAIN) for folder in (OLD, new))
    shared = [name for name in schema.OBS_COLUMNS if name in was.column_names]
    assert now.select(shared).equals(was.select(shared))
    assert now["doublet_score"].null_count == now.num_rows == 20


def test_the_content_is_that_of_a_build_from_the_counts(new, tmp_path):
    counts = [
        make_counts(tmp_path, "a", seed=1, n_cells=20, genes=HUMAN[:60]),
        make_counts(tmp_path, "c", seed=3, n_cells=20, genes=MOUSE[:60]),
    ]
    make_corpus(tmp_path / "built", counts, splits=Splits(("study_c",), ()), min_gene_counts=30)
    assert Corpus(tmp_path / "built").manifest["content_digest"] == Corpus(new).manifest["content_digest"]


def test_a_converted_corpus_grows_holds_its_retraction_and_remembers_what_it_was(new, tmp_path):
    grown = shutil.copytree(new, tmp_path / "grown")
    inputs = [make_counts(tmp_path, "b", seed=2, n_cells=20, genes=HUMAN[:60])]
    with pytest.raises(UserMistake, match="Sample b was removed"):
        add(grown, inputs, samples={}, group_samples=2)
    add(grown, [make_counts(tmp_path, "d", n_cells=5)], samples={}, group_samples=2)
    assert verify(grown) == []
    assert Corpus(grown).manifest["converted_from"] == {"of": sha256(OLD / "manifest.json"), "version": 2}


def test_a_vocabulary_table_of_version_1_still_opens(new):
    assert Vocabulary.read(OLD / "genes.feather").digest == Corpus(new).genes.digest


def test_totals_of_version_1_still_open_and_were_made_without_cuts(tmp_path):
    made = sample_totals(make_counts(tmp_path, "a"), min_counts=1)
    about = {k: v for k, v in made.__dict__.items() if k not in ("stored", "cuts")} | {"kind": "totals"}
    write_table(made.genes.replace_schema_metadata({schema.METADATA: json.dumps(about)}), tmp_path / "totals.feather")
    assert Totals.read(tmp_path / "totals.feather").cuts == NO_CUTS


def test_a_damaged_shard_is_refused_by_name_and_nothing_is_written(old, tmp_path):
    content = bytearray((old / TRAIN).read_bytes())
    content[len(content) // 2] ^= 1
    (old / TRAIN).write_bytes(content)
    with pytest.raises(UserMistake, match=f"{TRAIN} is missing, or is not the file"):
        convert(old, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_missing_table_is_refused_by_name(old, tmp_path):
    (old / "manifests/2.samples.feather").unlink()
    with pytest.raises(UserMistake, match=r"2\.samples\.feather is missing"):
        convert(old, tmp_path / "new")


def with_cells(old, change):
    """Write a shard's columns anew, under its own sha256 in the manifest."""
    table = change(feather.read_table(old / TRAIN))
    with pa.ipc.new_file(str(old / TRAIN), table.schema) as file:
        file.write_table(table)
    shards = read_json(old / "manifest.json")["shards"]
    say_of(old, shards=[e | {"sha256": sha256(old / TRAIN)} if e["path"] == TRAIN else e for e in shards])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("spliced_counts", [1], "genes and counts disagree"),
        ("spliced_genes", [0], "genes and counts disagree"),
        ("barcode", "other", "content digest"),
    ],
)
def test_a_shard_of_other_cells_than_the_manifest_says_is_refused_and_nothing_is_written(
    old, tmp_path, column, value, said
):
    def change(table):
        at = table.column_names.index(column)
        values = [value, *table[column].to_pylist()[1:]]
        if column == "spliced_genes":
            values[0] = [0] * sum(byte != 255 for byte in table[column][0].as_py())
        return table.set_column(at, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    with_cells(old, change)
    with pytest.raises(UserMistake, match=rf"{TRAIN} has other cells than its manifest says \(.*{said}"):
        convert(old, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_manifest_that_counts_wrongly_is_refused_and_nothing_is_written(old, tmp_path):
    say_of(old, genes_kept=19)
    with pytest.raises(UserMistake, match=r"disagrees with its own shards \(genes_kept\)"):
        convert(old, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_corpus_of_today_is_refused(new, tmp_path):
    with pytest.raises(UserMistake, match="only 1 is converted, and 2 is read as it is"):
        convert(new, tmp_path / "again")


def test_an_out_that_is_there_is_refused_and_stays(tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new/mine").write_text("mine")
    with pytest.raises(UserMistake, match="is there already"):
        convert(OLD, tmp_path / "new")
    assert (tmp_path / "new/mine").read_text() == "mine"


def test_a_shard_of_version_1_enters_no_manifest():
    with pytest.raises(UserMistake, match=r"has corpus schema 1.*`velocorpus corpus convert`"):
        shard_entry(OLD, OLD / TRAIN)


def test_pulling_a_corpus_of_version_1_says_what_to_do(tmp_path):
    with store() as s3:
        s3.client.put_object(Bucket="corpora", Key="old/manifest.json", Body=(OLD / "manifest.json").read_bytes())
        with pytest.raises(UserMistake, match=r"corpus schema 1.*`velocorpus corpus convert`"):
            pull("s3://corpora/old", tmp_path / "c", how=s3.how())
