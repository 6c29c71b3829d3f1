"""Pretraining on a small corpus: the output is whole or absent, and a kill costs nothing."""

import json
import shutil

import numpy as np
import pytest
import torch
from corpus_makers import HUMAN, make_corpus, make_counts

from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.corpus import Corpus
from velocorpus.corpus.building.manifest import write_version
from velocorpus.corpus.plan import Splits
from velocorpus.data.loader import Loader
from velocorpus.errors import UserMistake
from velocorpus.model.pretrained import load_pretrained
from velocorpus.training import pretrain as pretraining
from velocorpus.training.chunks import GlobalBatches
from velocorpus.training.corrupt import corrupt
from velocorpus.training.objective import Pretraining
from velocorpus.training.pretrain import pretrain
from velocorpus.training.ranks import World
from velocorpus.training.validation import retrieval, validate, validation_batches, warning
from velocorpus.training.verify import verify

GENES = HUMAN[:60]
MODEL = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2, max_genes=12, truncation="sample", dropout=0.1)
PRETRAIN = PretrainConfig(steps=6, batch_cells=8, warmup_steps=1, checkpoint_steps=2, validate_steps=3)
FILES = ["config.json", "genes.feather", "metrics.jsonl", "model.safetensors", "run.json", "training.json"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    inputs = [make_counts(folder, s, seed=i, n_cells=15, genes=GENES) for i, s in enumerate("abv")]
    return make_corpus(folder / "corpus", inputs, splits=Splits(("study_v",)))


def test_the_output_directory_is_whole_and_names_its_corpus(corpus, tmp_path):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert not (tmp_path / "out.partial").exists()
    assert "agree" in verify(tmp_path / "out", corpus)
    assert '"tflop_per_s"' in (tmp_path / "out.speed.jsonl").read_text()
    records = [json.loads(line) for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records if r["split"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [r["step"] for r in records if r["split"] == "validation"] == [3, 6]


@pytest.mark.parametrize(("kill_at", "batches"), [(2, "study"), (5, "study"), (5, "mixed")])
def test_a_killed_run_resumes_to_the_same_bytes(corpus, tmp_path, monkeypatch, kill_at, batches):
    config = PRETRAIN.model_copy(update={"batches": batches, "masked_weight_end": 0.2, "weight_steps": 4})
    pretrain(corpus, MODEL, config, tmp_path / "whole")
    calls = iter(range(100))
    corrupted = Pretraining.corrupted

    def killed(self, batch, rng):
        if self.training and next(calls) == kill_at:
            raise KeyboardInterrupt
        return corrupted(self, batch, rng)

    with monkeypatch.context() as patch:
        patch.setattr(Pretraining, "corrupted", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain(corpus, MODEL, config, tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    pretrain(corpus, MODEL, config, tmp_path / "killed", resume=True)
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_finished_run_is_left_as_it_is_on_resume(corpus, tmp_path, monkeypatch):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    monkeypatch.setattr(pretraining, "train", None)
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out", resume=True)


def test_the_model_comes_back_equal(corpus, tmp_path):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    saved = load_pretrained(tmp_path / "out")
    assert saved.encoder().config == MODEL
    for name, tensor in saved.encoder().state_dict().items():
        assert torch.equal(tensor, saved.tensors[f"encoder.{name}"])


def test_weights_that_were_changed_do_not_verify(corpus, tmp_path):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    weights = tmp_path / "out/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(UserMistake, match="is not the file that training"):
        verify(tmp_path / "out", corpus)


def test_a_model_of_another_corpus_does_not_verify(corpus, tmp_path):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    other = make_corpus(tmp_path / "other", [make_counts(tmp_path, "x", genes=GENES)])
    with pytest.raises(UserMistake, match="was trained on the corpus whose manifest"):
        verify(tmp_path / "out", other)


def test_a_model_of_the_corpus_before_its_conversion_verifies(corpus, tmp_path):
    pretrain(corpus, MODEL, PRETRAIN, tmp_path / "out")
    converted = shutil.copytree(corpus, tmp_path / "converted")
    old = {"of": Corpus(corpus).digest, "version": 3}
    write_version(converted, Corpus(corpus).manifest | {"converted_from": old})
    assert "version 3 before its conversion" in verify(tmp_path / "out", converted)


def test_eight_cells_are_learned_by_heart(corpus):
    torch.manual_seed(0)
    genes = Corpus(corpus).genes
    config = PRETRAIN.model_copy(update={"masked_weight": 0.0})
    net = Pretraining(MODEL.model_copy(update={"max_genes": 60, "dropout": 0.0, "unknown_rate": 0.0}), config, genes)
    loader = Loader(
        Corpus(corpus),
        "train",
        batch_cells=8,
        seed=0,
        modalities=("spliced", "unspliced"),
        max_genes=60,
        truncation="top",
    )
    batch = next(loader)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for step in range(150):
        values = net.loss(batch, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        values["loss"].backward()
        optimizer.step()
    assert float(values["loss"].detach()) < 0.1
    assert float(values["top1_spliced_unspliced"]) == 1.0


def test_a_batch_of_study_batches_holds_one_study(corpus):
    held = Corpus(corpus)
    tokens = {"modalities": ("spliced",), "max_genes": 9, "truncation": "top"}
    stream = GlobalBatches(
        held, "train", of_one_study=True, batch_cells=5, chunk_cells=5, seed=0, world=World(), **tokens
    )
    seen = set()
    for _ in range(8):
        batch = next(stream).parts[0]
        layer = batch.layers["spliced"]
        study = next(s for s in ("study_a", "study_b") if drawn_from(held, s, layer, batch.rows_B))
        seen.add(study)
    assert seen == {"study_a", "study_b"}


def drawn_from(corpus, study, layer, rows):
    totals = corpus.read("train", studies=[study], layers=("spliced",)).layers["spliced"].totals
    return bool((totals[rows] == layer.totals_B.numpy()).all())


def test_both_losses_off_is_refused(corpus, tmp_path):
    config = PRETRAIN.model_copy(update={"contrastive_weight": 0.0, "masked_weight": 0.0})
    with pytest.raises(UserMistake, match="both 0"):
        pretrain(corpus, MODEL, config, tmp_path / "out")


@pytest.mark.parametrize("off", ["contrastive_weight", "masked_weight"])
def test_either_loss_can_be_switched_off(corpus, tmp_path, off):
    pretrain(corpus, MODEL, PRETRAIN.model_copy(update={off: 0.0}), tmp_path / "out")
    assert load_pretrained(tmp_path / "out").training["config"]["pretrain"][off] == 0


def test_corruption_hides_about_the_asked_share_and_repeats_with_its_generator(corpus):
    loader = Loader(
        Corpus(corpus),
        "train",
        batch_cells=30,
        seed=0,
        modalities=("spliced",),
        max_genes=60,
        truncation="top",
    )
    batch = next(loader)
    one, two = (
        corrupt(batch, ("spliced",), mask_rate=0.3, unknown_rate=0.2, rng=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    hidden, unknown = one[1]["spliced"], one[0].layers["spliced"].genes_T == -1
    assert torch.equal(hidden, two[1]["spliced"])
    assert not (hidden & unknown).any()
    assert float(hidden.float().mean()) == pytest.approx(0.3, abs=0.08)
    assert float(unknown.float().mean()) == pytest.approx(0.2, abs=0.08)


def test_retrieval_of_equal_views_is_perfect_and_of_collapsed_views_is_none():
    views = torch.nn.functional.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    assert retrieval(views, views) == (1.0, 1.0)
    same = torch.ones(9, 4) / 2
    assert retrieval(same, same) == (0.0, 0.0)


def test_collapse_and_retrieval_by_chance_are_warned_of():
    good = {"uniformity_spliced": -2.0, "uniformity_fusion": -3.0, "validation_retrieval_rank": 0.7}
    assert warning(good, 100) is None
    assert warning(good | {"uniformity_fusion": -0.01}, 100) == "the outputs have collapsed, uniformity_fusion is -0.01"
    assert "by chance (mean rank 0.550)" in str(warning(good | {"validation_retrieval_rank": 0.55}, 100))


def test_validation_hides_the_same_genes_each_time(corpus):
    held = Corpus(corpus)
    torch.manual_seed(0)
    net = Pretraining(MODEL, PRETRAIN, held.genes).eval()
    tokens = {"modalities": MODEL.modalities, "max_genes": 12, "truncation": "top"}
    batches = validation_batches(held, 8, tokens)
    assert [len(b) for b in batches] == [8]
    assert len(np.unique(batches[0].rows_B)) == 8
    with torch.no_grad():
        assert validate(net, batches, "cpu") == validate(net, batches, "cpu")
