"""Kill pretraining at random moments and resume it: every byte must be that of a run that nobody disturbed.

python -m tests.drills.training [TRIALS]

A process that has imported everything forks a child for each run of `velocorpus pretrain`. SIGKILL comes at a moment
drawn evenly from a quiet run's duration, on one process and on two ranks (of which one is hit), also on two that share
the model out; SIGTERM and SIGUSR1 likewise, after which the exit code must be 75. Then `--resume` until the end, and
all files are compared.
"""

import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tests.unit.corpus.corpus_makers import HUMAN, make_corpus, make_counts

from velocorpus.cli.main import main as velocorpus
from velocorpus.corpus.plan import Splits
from velocorpus.model.pretrained import load_pretrained  # noqa: F401 - what a child would import
from velocorpus.training.pretrain import pretrain  # noqa: F401

MODEL = {"d_model": 16, "n_layers": 1, "n_heads": 2, "max_genes": 12, "truncation": "sample", "dropout": 0.1}
PRETRAIN = {
    "steps": 20,
    "warmup_steps": 2,
    "batch_cells": 8,
    "chunk_cells": 4,
    "checkpoint_steps": 2,
    "validate_steps": 5,
}


def start(folder: Path, name: str, n_ranks: int, config: str) -> list[int]:
    """Fork the ranks of a run towards `folder/name`, resumed if it can be; gives their process ids."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(n_ranks):
        pid = os.fork()
        if pid:
            pids.append(pid)
            continue
        os.dup2(os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
        if n_ranks > 1:
            told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": n_ranks, "RANK": rank}
            os.environ.update({key: str(value) for key, value in told.items()})
        options = {"corpus": folder / "corpus", "config": folder / config, "out": folder / name}
        sys.argv = ["velocorpus", "pretrain", "--resume", *(f"--{key}={value}" for key, value in options.items())]
        code = 1
        try:
            velocorpus()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            os._exit(code)
    return pids


def ends(pids: list[int]) -> list[int]:
    """The exit codes, of a signal its negative."""
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def disturbed(folder: Path, n_ranks: int, config: str, sent: signal.Signals, after_s: float) -> tuple[int, int] | None:
    """Disturb a run and resume it: the steps that it had written and those that it goes on from; None: too late."""
    pids = start(folder, "hit", n_ranks, config)
    time.sleep(after_s)
    victim = random.choice(pids)
    os.kill(victim, sent)
    codes = ends([victim])
    others = [pid for pid in pids if pid != victim]
    if codes[0] < 0:  # as torchrun does with the others when one has died
        for pid in others:
            os.kill(pid, signal.SIGKILL)
        ends(others)
    else:
        codes += ends(others)
    if codes == [0] * n_ranks:
        return None
    # Only before the command has begun does a signal kill.
    assert codes in ([-sent], [75] * n_ranks), codes
    work = folder / "hit.partial"
    lines = (work / "metrics.jsonl").read_text().splitlines() if (work / "metrics.jsonl").exists() else []
    steps = sum('"train"' in line for line in lines)
    saved = max((int(p.stem[5:]) for p in work.glob("checkpoints/step_*")), default=0)
    assert codes[0] < 0 or steps == saved, (codes, steps, saved)
    assert ends(start(folder, "hit", n_ranks, config)) == [0] * n_ranks
    return steps, saved


def trials(folder: Path, n_ranks: int, config: str, sent: signal.Signals, n: int) -> Iterator[tuple[int, int]]:
    quiet = folder / f"quiet_{n_ranks}"
    began = time.monotonic()
    assert ends(start(folder, quiet.name, n_ranks, config)) == [0] * n_ranks
    duration_s = time.monotonic() - began
    done = 0
    while done < n:
        found = disturbed(folder, n_ranks, config, sent, random.uniform(0, duration_s))
        if found:
            assert contents(folder / "hit") == contents(quiet), found
            done += 1
            yield found
        shutil.rmtree(folder / "hit")
    shutil.rmtree(quiet)


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    random.seed(0)
    torch.set_num_threads(1)
    print("| ranks | signal | times | steps done when it came | steps saved | same bytes |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = [make_counts(folder, s, seed=ord(s), n_cells=60, genes=HUMAN[:80]) for s in "abv"]
        make_corpus(folder / "corpus", counts, splits=Splits(("study_v",)))
        (folder / "config.yaml").write_text(json.dumps({"model": MODEL, "pretrain": PRETRAIN}))
        (folder / "shard.yaml").write_text(json.dumps({"model": MODEL, "pretrain": PRETRAIN | {"shard": True}}))
        few = max(1, n // 4)
        for n_ranks, sent, times, config in [
            (1, signal.SIGKILL, n, "config.yaml"),
            (2, signal.SIGKILL, few, "config.yaml"),
            (2, signal.SIGKILL, few, "shard.yaml"),
            (1, signal.SIGTERM, few, "config.yaml"),
            (1, signal.SIGUSR1, few, "config.yaml"),
            (2, signal.SIGTERM, few, "config.yaml"),
            (2, signal.SIGTERM, few, "shard.yaml"),
        ]:
            found = list(trials(folder, n_ranks, config, sent, times))
            steps, saved = (", ".join(map(str, sorted(part))) for part in zip(*found, strict=True))
            ranks = f"{n_ranks}, sharded" if config == "shard.yaml" else str(n_ranks)
            print(f"| {ranks} | {sent.name} | {times} | {steps} | {saved} | {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
