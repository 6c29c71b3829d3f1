import pyarrow as pa
import pytest
import yaml
from corpus_makers import HUMAN, MOUSE, make_corpus, make_counts

from velocorpus.cells.filter import Cuts
from velocorpus.corpus import Corpus
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.reader import read_batches
from velocorpus.corpus.sharing.card import write_card
from velocorpus.errors import UserMistake


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    top = tmp_path_factory.mktemp("card")
    inputs = [make_counts(top, s, seed=ord(s), n_cells=20, genes=MOUSE if s == "m" else HUMAN) for s in "abm"]
    return make_corpus(top / "c", inputs, splits=Splits(("study_b",), ()), group_samples=2)


def card_of(folder, out):
    write_card(Corpus(folder), out)
    return (out / "README.md").read_text(encoding="utf-8")


def metadata(text):
    return yaml.safe_load(text.split("---")[1])


def test_the_card_is_the_same_every_time(folder, tmp_path):
    assert card_of(folder, tmp_path / "1") == card_of(folder, tmp_path / "2")


def test_the_card_names_the_shards_with_cells_by_split(folder, tmp_path):
    files = {one["split"]: one["path"] for one in metadata(card_of(folder, tmp_path))["configs"][0]["data_files"]}
    shards = [entry for entry in Corpus(folder).manifest["shards"] if entry["rows"]]
    assert files == {
        split: sorted(e["path"] for e in shards if e["split"] == split) for split in ("train", "validation")
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_cards_own_example_loads_every_split_with_datasets(folder, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    text = card_of(folder, tmp_path)
    for path in (folder / "shards").iterdir():
        (tmp_path / "shards").mkdir(exist_ok=True)
        (tmp_path / "shards" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    scope = {}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    assert {split: data.num_rows for split, data in scope["data"].items()} == {"train": 40, "validation": 20}
    rows = pa.Table.from_batches(read_batches(folder / "shards" / "g00000.validation.feather")).to_pylist()
    assert [dict(row) for row in scope["data"]["validation"]] == rows


def test_the_card_counts_cells_samples_and_studies_by_split(folder, tmp_path):
    text = card_of(folder, tmp_path)
    size = {
        split: sum(e["bytes"] for e in Corpus(folder).manifest["shards"] if e["split"] == split) for split in ("train",)
    }
    assert f"| train | 40 | 2 | 2 | {size['train']:,} |" in text
    assert "60 cells of 3 samples and 3 studies of human and mouse" in text
    assert Corpus(folder).digest in text


def test_the_card_tells_of_cuts_only_where_there_are_some(folder, tmp_path):
    assert "Further bounds" not in card_of(folder, tmp_path / "1")
    inputs, cuts = [make_counts(tmp_path, "a", n_cells=20)], Cuts(max_mitochondrial_fraction=0.5)
    assert "max_mitochondrial_fraction 0.5;" in card_of(make_corpus(tmp_path / "c", inputs, cuts=cuts), tmp_path / "2")


def test_licences_and_citations_come_from_the_table_of_studies(folder, tmp_path):
    table = folder / "studies.tsv"
    table.write_text("study\tlicence\tcitation\nstudy_a\tCC-BY-4.0\tA et al. 2020\n")
    try:
        text = card_of(folder, tmp_path)
    finally:
        table.unlink()
    assert "| study_a |  | human | not known | train | 1 | 20 | CC-BY-4.0 |" in text
    assert "- study_a: A et al. 2020" in text
    assert "The licence of 2 of 3 studies is not known" in text
    assert metadata(text)["license"] == "other"
    # Handed on with a row for every study.
    assert (tmp_path / "studies.tsv").read_text().splitlines()[1:] == [
        "study_a\t\tCC-BY-4.0\tA et al. 2020\t",
        "study_b\t\t\t\t",
        "study_m\t\t\t\t",
    ]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("study\nstudy_x\n", "'study_x' is not in the corpus"),
        ("study\nstudy_a\nstudy_a\n", "'study_a' stands twice"),
        ("study\tlicense\nstudy_a\tMIT\n", "found license"),
        ("name\nstudy_a\n", "columns are study"),
    ],
)
def test_a_table_of_studies_that_does_not_fit_is_refused(folder, tmp_path, table, said):
    (folder / "studies.tsv").write_text(table)
    try:
        with pytest.raises(UserMistake, match=said):
            card_of(folder, tmp_path)
    finally:
        (folder / "studies.tsv").unlink()


def test_a_corpus_without_a_known_licence_claims_none(folder, tmp_path):
    assert metadata(card_of(folder, tmp_path))["license"] == "unknown"
