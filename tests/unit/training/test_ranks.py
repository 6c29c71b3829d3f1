"""Two processes train as one does, and go on with its checkpoints, also with weights and moments shared out."""

import json
import sys
from pathlib import Path

import pytest
import torch
import two_ranks
from corpus_makers import HUMAN, make_corpus, make_counts, random_layers
from safetensors.torch import load_file
from two_ranks import CONFIG, MODEL, SHARDED, killed_after_two_steps

from velocorpus.corpus.plan import Splits
from velocorpus.training.launch import run_ranks
from velocorpus.training.pretrain import pretrain
from velocorpus.training.ranks import World


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """A folder of runs: "one" by one process, "two" by two; killed after two steps, by one or by two sharded ones."""
    folder = tmp_path_factory.mktemp("ranks")
    # Study a has unspliced counts in every other cell only.
    layers = random_layers(0, 30, 60)
    layers["unspliced"] = layers["unspliced"].multiply(torch.arange(30)[:, None].numpy() % 2).tocsr()
    inputs = [
        make_counts(folder, "a", layers=layers, genes=HUMAN[:60]),
        make_counts(folder, "b", seed=1, n_cells=30, genes=HUMAN[:60]),
        make_counts(folder, "v", seed=2, n_cells=20, genes=HUMAN[:60]),
    ]
    corpus = make_corpus(folder / "corpus", inputs, splits=Splits(("study_v",)))
    pretrain(corpus, MODEL, CONFIG, folder / "one")
    with killed_after_two_steps(World()):
        pretrain(corpus, MODEL, CONFIG, folder / "one_then_two")
    assert run_ranks([sys.executable, two_ranks.__file__, str(folder)], 2) == 0
    return folder


def metrics(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_trained_alike(one: Path, other: Path) -> None:
    for a, b in zip(metrics(one), metrics(other), strict=True):
        assert a.pop("split") == b.pop("split")
        assert b == pytest.approx(a, rel=2e-3, abs=1e-4)
    expected, found = (load_file(out / "model.safetensors") for out in (one, other))
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        # A view's shift changes no contrast: its gradient is rounding, which AdamW makes a step of.
        assert torch.allclose(tensor, expected[name], atol=5e-3), name


def test_two_processes_train_as_one_does(runs):
    assert_trained_alike(runs / "one", runs / "two")
    # The first step is made by equal weights, so its loss and gradient agree to rounding.
    one, two = (metrics(runs / name)[0] for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=1e-6)
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)


def test_two_sharded_processes_go_on_with_the_checkpoint_of_one(runs):
    assert_trained_alike(runs / "one", runs / "one_then_two")


def test_one_process_goes_on_with_the_checkpoint_of_two_sharded_ones(runs):
    out = runs / "two_then_one"
    kept = load_file(runs / "two_then_one.partial/checkpoints/step_00000002.safetensors")
    assert kept["model.encoder.blocks.0.qkv.weight"].shape == (48, 16)
    assert kept["optimizer.exp_avg.encoder.blocks.0.qkv.weight"].shape == (48, 16)
    pretrain(runs / "corpus", MODEL, SHARDED, out, resume=True)
    assert_trained_alike(runs / "one", out)
