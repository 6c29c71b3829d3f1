import shutil

import numpy as np
import pytest
from corpus_makers import HUMAN, MOUSE, assert_holds, make_corpus, make_counts, random_layers

from velocorpus.corpus import Corpus
from velocorpus.corpus.building.manifest import write_manifest
from velocorpus.corpus.building.totals import Totals, build_vocabulary, sample_totals
from velocorpus.corpus.building.writer import write_shards
from velocorpus.corpus.changing.samples import add, remove
from velocorpus.corpus.plan import Splits, groups
from velocorpus.corpus.verify import verify
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.counting.counts_file import read_counts
from velocorpus.errors import UserMistake
from velocorpus.outcomes.outcome import write_outcome


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    return [
        make_counts(folder, "a", seed=1),
        make_counts(folder, "b", seed=2),
        make_counts(folder, "m", seed=3, genes=MOUSE),
    ]


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_count_of_every_sample_comes_back(tmp_path, inputs):
    corpus = Corpus(make_corpus(tmp_path / "c", inputs))
    for path in inputs:
        assert_holds(corpus, path)


def test_the_same_inputs_in_any_order_give_the_same_bytes(tmp_path, inputs):
    one = make_corpus(tmp_path / "1", inputs, group_samples=3)
    two = make_corpus(tmp_path / "2", inputs[::-1], group_samples=3)
    assert files_of(one) == files_of(two)


def test_independent_jobs_give_the_same_bytes_as_one_process(tmp_path, inputs):
    splits = Splits(validation=("study_b",))
    whole = make_corpus(tmp_path / "whole", inputs, splits=splits)
    for path in inputs:
        sample_totals(path, min_counts=1).write(tmp_path / f"{path.parent.name}.feather")
    totals = [Totals.read(tmp_path / f"{sample}.feather") for sample in "abm"]
    build_vocabulary(totals, {"a": "human", "b": "human", "m": "mouse"}).as_vocabulary().write(tmp_path / "vocab")
    vocabulary = Vocabulary.read(tmp_path / "vocab")
    by_sample = dict(zip("abm", inputs, strict=True))
    shards = []
    for group, members in reversed(groups("abm", 2).items()):
        shards += write_shards(
            {sample: by_sample[sample] for sample in members},
            tmp_path / "jobs" / "shards",
            group=group,
            vocabulary=vocabulary,
            samples={},
            splits=splits,
            min_counts=1,
            seed=0,
        )
    for _ in range(2):
        write_manifest(
            tmp_path / "jobs",
            shards=shards,
            totals=totals,
            vocabulary=vocabulary,
            samples={},
            splits=splits,
            min_gene_counts=0,
        )
    assert files_of(tmp_path / "jobs") == files_of(whole)


def test_another_seed_gives_another_order_and_the_same_content(tmp_path, inputs):
    one, two = (Corpus(make_corpus(tmp_path / str(seed), inputs, seed=seed)) for seed in (0, 1))
    assert one.read().obs["cell_id"] != two.read().obs["cell_id"]
    assert one.manifest["content_digest"] == two.manifest["content_digest"]


def test_adding_rewrites_no_shard_and_equals_a_build_from_scratch(tmp_path, inputs):
    grown = make_corpus(tmp_path / "grown", inputs[:1], min_gene_counts=40)
    before = {p.name: p.read_bytes() for p in (grown / "shards").iterdir()}
    first = (grown / "manifest.json").read_bytes()
    add(grown, inputs[1:], samples={}, group_samples=2)
    assert before.items() <= {p.name: p.read_bytes() for p in (grown / "shards").iterdir()}.items()
    assert (grown / "manifests" / "1.json").read_bytes() == first
    whole, grown = Corpus(make_corpus(tmp_path / "whole", inputs, min_gene_counts=40)), Corpus(grown)
    assert grown.manifest["version"] == 2
    assert grown.manifest["content_digest"] == whole.manifest["content_digest"]
    assert dict(zip(grown.genes.gene_ids, grown.genes.kept, strict=True)) == dict(
        zip(whole.genes.gene_ids, whole.genes.kept, strict=True)
    )
    assert grown.samples.to_pylist() == whole.samples.to_pylist()
    for path in inputs:
        assert_holds(grown, path)


def test_an_old_version_of_a_grown_corpus_still_opens(tmp_path, inputs):
    grown = make_corpus(tmp_path / "grown", inputs[:1])
    cells = Corpus(grown).read().obs
    add(grown, inputs[1:], samples={}, group_samples=2)
    assert Corpus(grown, version=1).read().obs == cells


def test_genes_that_come_later_are_appended_after_those_of_every_organism(tmp_path, inputs):
    new = [*HUMAN[:10], "ENSG99999999999"]
    path = make_counts(tmp_path, "late", layers=random_layers(9, 8, len(new), density=0.9), genes=new)
    grown = make_corpus(tmp_path / "grown", inputs)
    tokens = Corpus(grown).genes.gene_ids
    add(grown, [path], samples={}, group_samples=2)
    corpus = Corpus(grown)
    assert corpus.genes.gene_ids == [*tokens, "ENSG99999999999"]
    assert corpus.genes.first == {"human": 0, "mouse": len(HUMAN)}
    assert_holds(corpus, path)


def test_a_refused_sample_is_left_out_and_named(tmp_path, inputs):
    write_outcome(tmp_path / "x" / "outcome.json", sample="x", state="refused", reason="No CB tags.")
    corpus = Corpus(make_corpus(tmp_path / "c", [*inputs, tmp_path / "x" / "outcome.json"]))
    assert corpus.manifest["missing"] == {"x": "No CB tags."}
    assert corpus.samples["sample"].to_pylist() == ["a", "b", "m"]


def test_no_corpus_is_made_where_every_sample_was_set_aside(tmp_path):
    write_outcome(tmp_path / "x" / "outcome.json", sample="x", state="refused", reason="No CB tags.")
    with pytest.raises(UserMistake, match=r"All 1 samples were set aside.*x: No CB tags"):
        make_corpus(tmp_path / "c", [tmp_path / "x" / "outcome.json"])
    assert not (tmp_path / "c").exists()


def test_a_group_of_refused_samples_gives_valid_empty_shards(tmp_path, inputs):
    write_outcome(tmp_path / "x" / "outcome.json", sample="x", state="refused", reason="No CB tags.")
    folder = make_corpus(tmp_path / "c", [tmp_path / "x" / "outcome.json", *inputs], group_samples=1)
    assert Corpus(folder).manifest["shards"][0]["rows"] == 0


def test_an_outcome_stands_for_the_counts_beside_it(tmp_path, inputs):
    shutil.copy(inputs[0], tmp_path / "counts.h5ad")
    digest = read_counts(inputs[0]).uns["velocorpus"]["content_digest"]
    write_outcome(tmp_path / "outcome.json", sample="a", state="ok", counts_digest=digest)
    assert Corpus(make_corpus(tmp_path / "c", [tmp_path / "outcome.json"])).manifest["counts"] == {"a": digest}
    write_outcome(tmp_path / "outcome.json", sample="a", state="ok", counts_digest="other")
    with pytest.raises(UserMistake, match="is not the counts file"):
        make_corpus(tmp_path / "c", [tmp_path / "outcome.json"])


def test_cells_are_filtered_by_spliced_counts_and_genes_over_the_kept_cells(tmp_path):
    spliced = np.array([[6, 4, 0], [4, 0, 5], [0, 0, 10]])
    layers = {"spliced": spliced, "unspliced": spliced * 100}
    path = make_counts(tmp_path, layers=layers, genes=HUMAN[:3])
    corpus = Corpus(make_corpus(tmp_path / "c", [path], min_counts=10, min_gene_counts=5))
    assert sorted(corpus.read().obs["barcode"].to_pylist()) == ["BC00000", "BC00002"]
    kept = {g for g, kept in zip(corpus.genes.gene_ids, corpus.genes.kept, strict=True) if kept}
    assert kept == {HUMAN[0], HUMAN[2]}
    assert set(corpus.read().layers["unspliced"].indices) == set(corpus.genes.tokens([HUMAN[0], HUMAN[2]]))


def test_frequent_genes_have_small_tokens(tmp_path):
    spliced = np.array([[1, 0, 2], [1, 0, 2], [0, 0, 2]])
    path = make_counts(tmp_path, layers={"spliced": spliced, "unspliced": 0 * spliced}, genes=HUMAN[:3])
    assert Corpus(make_corpus(tmp_path / "c", [path])).genes.gene_ids == [HUMAN[2], HUMAN[0], HUMAN[1]]


def test_a_given_vocabulary_keeps_its_tokens(tmp_path, inputs):
    base = Vocabulary(HUMAN[::-1], HUMAN[::-1], ["human"] * len(HUMAN), np.ones(len(HUMAN), bool))
    corpus = Corpus(make_corpus(tmp_path / "c", inputs, base=base))
    assert corpus.genes.gene_ids[: len(HUMAN)] == HUMAN[::-1]
    assert_holds(corpus, inputs[0])


def test_splits_go_by_study(tmp_path, inputs):
    corpus = Corpus(make_corpus(tmp_path / "c", inputs, splits=Splits(("study_b",), ("study_m",))))
    assert set(corpus.read("train").obs["study"].to_pylist()) == {"study_a"}
    assert set(corpus.read("validation").obs["sample"].to_pylist()) == {"b"}
    assert corpus.read("test").obs.num_rows == 40


def test_a_study_stays_in_its_split_when_the_corpus_grows(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs[:1])
    with pytest.raises(UserMistake, match="must stay there"):
        add(folder, inputs[1:], samples={}, splits=Splits(test=("study_a",)), group_samples=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"splits": Splits(validation=("nobody",))}, "held-out study 'nobody' has no sample"),
        ({"samples": {"a": {"study": "s", "organism": "human"}}}, "no row in samples.tsv"),
        ({"samples": {s: {"organism": "human" if s < "b" else "mouse"} for s in "abm"}}, "belongs to human already"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, inputs, change, message):
    with pytest.raises(UserMistake, match=message):
        make_corpus(tmp_path / "c", inputs, **change)
    assert not (tmp_path / "c").exists()


def test_two_samples_of_one_name_are_refused(tmp_path, inputs):
    with pytest.raises(UserMistake, match="names are unique"):
        make_corpus(tmp_path / "c", [inputs[0], inputs[0]])


def test_a_missing_group_of_shards_is_refused(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs[:2], group_samples=1)
    with pytest.raises(UserMistake, match="missing or old"):
        write_manifest(
            folder,
            shards=sorted((folder / "shards").glob("g00000.*")),
            totals=[sample_totals(path, min_counts=1) for path in inputs[:2]],
            vocabulary=Corpus(folder).genes.as_vocabulary(),
            samples={},
            splits=Splits(),
            min_gene_counts=0,
        )


def close(folder, inputs):
    """The workflow's last job over the shards that are there."""
    write_manifest(
        folder,
        shards=sorted((folder / "shards").iterdir()),
        totals=[sample_totals(path, min_counts=1) for path in inputs],
        vocabulary=Corpus(folder).genes.as_vocabulary(),
        samples={},
        splits=Splits(),
        min_gene_counts=0,
    )


def test_shards_of_other_counts_than_the_totals_are_refused(tmp_path):
    folder = make_corpus(tmp_path / "c", [make_counts(tmp_path, "a", seed=1)])
    with pytest.raises(UserMistake, match="made of other counts of sample a"):
        close(folder, [make_counts(tmp_path / "again", "a", seed=2)])


def test_a_manifest_written_anew_is_the_same_version_unless_something_changed(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs[:2], group_samples=1)
    before = files_of(folder)
    close(folder, inputs[:2])
    assert files_of(folder) == before
    for shard in (folder / "shards").glob("g00001.*"):
        shard.unlink()
    close(folder, inputs[:1])
    manifest = Corpus(folder).manifest
    assert (manifest["version"], manifest["cells"]) == (2, 40)
    assert verify(folder) == []


@pytest.mark.parametrize(
    ("bound", "value"),
    [("corpus.building.writer.CHUNK_CELLS", 7), ("counting.counts_file.PIECE_COUNTS", 3_000)],
)
def test_cells_read_or_encoded_a_few_at_a_time_give_the_same_bytes(tmp_path, inputs, monkeypatch, bound, value):
    whole = make_corpus(tmp_path / "whole", inputs)
    monkeypatch.setattr(f"velocorpus.{bound}", value)
    assert files_of(make_corpus(tmp_path / "parts", inputs)) == files_of(whole)


def test_shards_of_another_split_than_their_study_are_refused(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs[:2])
    with pytest.raises(UserMistake, match="has cells of sample b, whose study belongs to 'test'"):
        write_manifest(
            folder,
            shards=sorted((folder / "shards").iterdir()),
            totals=[sample_totals(path, min_counts=1) for path in inputs[:2]],
            vocabulary=Corpus(folder).genes.as_vocabulary(),
            samples={},
            splits=Splits(test=("study_b",)),
            min_gene_counts=0,
        )


def test_a_retraction_holds_when_the_workflow_closes_the_corpus_anew(tmp_path, inputs):
    folder = make_corpus(tmp_path / "c", inputs[:2], group_samples=1)
    remove(folder, ["b"], because="retracted")
    for shard in (folder / "shards").glob("g00001.train.?*.feather"):
        shard.unlink()
    with pytest.raises(UserMistake, match=r"removed in version 2 \(retracted\)"):
        close(folder, inputs[:2])
