"""The loop learns, stops on NaN, and goes on after a kill as if nothing had happened."""

import itertools
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from streams import Batch, Stream, module

from velocorpus.config import FinetuneConfig, PretrainConfig
from velocorpus.errors import TryLater, UserMistake
from velocorpus.training import checkpoint
from velocorpus.training.loop import Schedule, gradients_of, make_optimizer, train
from velocorpus.training.records import Metrics
from velocorpus.training.stopping import SIGNALS, asked_to_stop


class Killed(Exception):
    pass


def schedule(**values: float) -> Schedule:
    defaults = {"steps": 30, "lr_peak": 0.01, "warmup_steps": 3, "weight_decay": 0.1, "clip_norm": 1.0, "seed": 3}
    return Schedule(**{**defaults, "checkpoint_steps": 10, "validate_steps": 15, **values})


def run(
    folder: Path,
    *,
    kill_at: int | None = None,
    spoil_at: int | None = None,
    signal_at: tuple[int, str] = (0, ""),
    **values: float,
) -> torch.nn.Module:
    net = module()
    calls = 0

    def loss(batch: Batch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        if calls == kill_at:
            raise Killed
        if calls == signal_at[0]:
            os.kill(os.getpid(), getattr(signal, signal_at[1]))
        noise = torch.randn(len(batch), generator=rng)
        factor = 1000 if calls == spoil_at else 1
        return {"loss": factor * (net(batch.x)[:, 0] - batch.x.sum(1) - 0.1 * noise).square().mean()}

    train(
        net,
        Stream(),
        gradients_of(loss, 3),
        schedule(**values),
        folder,
        validate=lambda: {"noise": float(torch.rand(()))},
    )
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
        train(net, Stream(), gradients_of(lambda b, _: {"loss": net(b.x).sum() * torch.nan}, 3), schedule(), tmp_path)


def killed_run(folder: Path) -> Path:
    """A run that was killed after two checkpoints; gives the last one."""
    with pytest.raises(Killed):
        run(folder, kill_at=23)
    return folder / "checkpoints/step_00000020.safetensors"


def test_a_checkpoint_that_cannot_be_read_is_refused_by_name_and_the_one_before_is_offered(tmp_path):
    killed_run(tmp_path).write_bytes(b"junk")
    with pytest.raises(UserMistake, match=r"step_00000020\.safetensors cannot be read .* go on from step_00000010\."):
        run(tmp_path)


@pytest.mark.parametrize("at", [-1, -100, -5000])
def test_a_checkpoint_with_one_flipped_bit_is_refused(tmp_path, at):
    path = killed_run(tmp_path)
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserMistake, match=r"step_00000020\.safetensors was damaged after it was written"):
        run(tmp_path)


def test_a_checkpoint_under_another_name_or_of_another_run_is_refused(tmp_path):
    path = killed_run(tmp_path)
    path.with_name("step_00000021.safetensors").write_bytes(path.read_bytes())
    with pytest.raises(UserMistake, match=r"step_00000021\.safetensors is of another run or step"):
        run(tmp_path)
    path.with_name("step_00000021.safetensors").unlink()
    (tmp_path / "run.json").write_text('{"seed": 4}')
    with pytest.raises(UserMistake, match=r"step_00000020\.safetensors is of another run or step"):
        run(tmp_path)


def test_the_batch_of_a_loss_that_runs_away_is_kept_and_named(tmp_path):
    with pytest.raises(
        UserMistake, match=r"diverged at step 5: .* the batch is in .*step_00000005_rank_0\.safetensors"
    ):
        run(tmp_path, spoil_at=5, diverged_at=10.0)
    kept = load_file(tmp_path / "diverged_step_00000005_rank_0.safetensors")
    assert torch.equal(kept["x"], next(itertools.islice(Stream(), 4, None)).x)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_ends_the_run_after_its_step_saved_to_be_tried_again(tmp_path, name):
    run(tmp_path / "whole")
    with pytest.raises(TryLater, match=f"Stopped by {name} after step 13, which is saved"):
        run(tmp_path / "stopped", signal_at=(13, name))
    assert (tmp_path / "stopped/checkpoints/step_00000013.safetensors").exists()
    run(tmp_path / "stopped")
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "stopped/metrics.jsonl").read_bytes()
    # A second one must not kill what is about to end with 75; the process of the tests goes on.
    assert signal.getsignal(getattr(signal, name)) == signal.SIG_IGN
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def test_a_signal_before_the_training_begins_is_not_lost(tmp_path):
    with asked_to_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(TryLater, match="Stopped by SIGTERM after step 1, which is saved"):
            run(tmp_path)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def test_tensorboard_is_refused_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserMistake, match=r"pip install 'velocorpus\[tensorboard\]'"):
        Metrics(tmp_path / "metrics.jsonl", 0, board=tmp_path / "board")


def test_speed_is_told_apart_from_the_metrics(tmp_path):
    run(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 31))
    assert {"cells_per_s", "waiting_for_data", "memory_gb"} <= lines[0].keys()
    assert "cells_per_s" not in (tmp_path / "metrics.jsonl").read_text()


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
