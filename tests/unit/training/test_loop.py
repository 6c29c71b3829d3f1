"""The loop learns, stops on NaN, and goes on after a kill as if nothing had happened."""

import json
from pathlib import Path

import pytest
import torch
from streams import Batch, Stream, module

from velocorpus.config import FinetuneConfig, PretrainConfig
from velocorpus.errors import UserMistake
from velocorpus.training import checkpoint
from velocorpus.training.loop import Schedule, make_optimizer, train


class Killed(Exception):
    pass


def schedule(**values: float) -> Schedule:
    defaults = {"steps": 30, "lr_peak": 0.01, "warmup_steps": 3, "weight_decay": 0.1, "clip_norm": 1.0, "seed": 3}
    return Schedule(**{**defaults, "checkpoint_steps": 10, "validate_steps": 15, **values})


def run(folder: Path, *, kill_at: int | None = None, **values: float) -> torch.nn.Module:
    net = module()
    calls = 0

    def loss(batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise Killed
        noise = torch.randn(len(batch), generator=rng)
        return {"loss": (net(batch.x)[:, 0] - batch.x.sum(1) - 0.1 * noise).square().mean()}

    train(net, Stream(), loss, schedule(**values), folder, validate=lambda: {"noise": float(torch.rand(()))})
    return net


def test_training_lowers_the_loss(tmp_path):
    run(tmp_path, steps=200)
    records = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    losses = [record["loss"] for record in records if record["split"] == "train"]
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])


@pytest.mark.parametrize("kill_at", [1, 5, 11, 26])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, kill_at):
    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_at=kill_at)
    resumed = run(tmp_path / "killed")
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "killed/metrics.jsonl").read_bytes()


def test_half_a_line_of_metrics_is_dropped_on_resume(tmp_path):
    whole = tmp_path / "whole"
    run(whole)
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_at=14)
    with (tmp_path / "killed/metrics.jsonl").open("a") as file:
        file.write('{"step": 14, "spl')
    run(tmp_path / "killed")
    assert (whole / "metrics.jsonl").read_bytes() == (tmp_path / "killed/metrics.jsonl").read_bytes()


def test_a_loss_that_is_not_finite_stops_with_a_sentence(tmp_path):
    net = module()
    with pytest.raises(UserMistake, match="diverged at step 1: loss nan"):
        train(net, Stream(), lambda b, _: {"loss": net(b.x).sum() * torch.nan}, schedule(), tmp_path)


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, kill_at=14)
    (tmp_path / "checkpoints/step_00000010.safetensors").write_bytes(b"junk")
    with pytest.raises(UserMistake, match=r"step_00000010\.safetensors is damaged"):
        run(tmp_path)


def test_old_checkpoints_are_removed(tmp_path):
    run(tmp_path, steps=45)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "step_00000030.safetensors",
        "step_00000040.safetensors",
    ]


def test_the_learning_rate_warms_up_and_falls():
    rates = [schedule().lr(step) for step in range(30)]
    assert rates[0] == pytest.approx(0.01 / 3)
    assert max(rates) == rates[2] == rates[3] == 0.01
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_the_schedule_takes_the_fields_of_a_section():
    assert Schedule.of(PretrainConfig(validate_steps=7)).validate_steps == 7
    assert Schedule.of(FinetuneConfig(steps=9)).steps == 9


def test_weight_decay_spares_embeddings_and_vectors():
    net = torch.nn.Sequential(torch.nn.Embedding(3, 4), torch.nn.Linear(4, 2))
    with_decay, without = make_optimizer(net, schedule()).param_groups
    assert [tuple(p.shape) for p in with_decay["params"]] == [(2, 4)]
    assert [tuple(p.shape) for p in without["params"]] == [(3, 4), (2,)]


def test_a_run_finished_before_is_found_again(tmp_path):
    folder = checkpoint.open_work(tmp_path / "out", {"seed": 1}, resume=True)
    assert folder is not None
    (folder / "model").mkdir()
    (folder / "metrics.jsonl").write_text("")
    checkpoint.finish(folder, tmp_path / "out")
    assert not folder.exists()
    assert checkpoint.open_work(tmp_path / "out", {"seed": 1}, resume=True) is None


def test_resuming_another_run_is_refused(tmp_path):
    checkpoint.open_work(tmp_path / "out", {"pretrain": {"seed": 1}}, resume=False)
    with pytest.raises(UserMistake, match=r"pretrain\.seed was 1 and is now 2"):
        checkpoint.open_work(tmp_path / "out", {"pretrain": {"seed": 2}}, resume=True)
