"""Ranks that the command starts itself: their exit code is the command's."""

import signal
import sys

import pytest

from velocorpus.training.launch import run_ranks

RANK = "import os, signal, sys, time; rank = int(os.environ['RANK']); "


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(75)", 75),
        ("sys.exit(75 if rank else 0)", 75),
        ("sys.exit(2) if rank == 1 else time.sleep(60)", 2),
        ("os.kill(os.getpid(), signal.SIGKILL) if rank == 1 else time.sleep(60)", 128 + 9),
    ],
)
def test_the_exit_code_is_that_of_the_ranks_and_a_failed_one_takes_the_others_along(code, expected):
    assert run_ranks([sys.executable, "-S", "-c", RANK + code], 3) == expected


def test_the_ranks_know_of_each_other(tmp_path):
    code = f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[k] for k in os.environ['KEYS'].split()))"
    keys = "LOCAL_RANK WORLD_SIZE MASTER_ADDR MASTER_PORT"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KEYS", keys)
        assert run_ranks([sys.executable, "-S", "-c", RANK + code], 2) == 0
    told = [(tmp_path / str(rank)).read_text().split() for rank in range(2)]
    assert [words[:3] for words in told] == [["0", "2", "127.0.0.1"], ["1", "2", "127.0.0.1"]]
    assert told[0][3] == told[1][3]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_a_signal_is_handed_on_to_every_rank(name, tmp_path):
    before = signal.getsignal(getattr(signal, name))
    code = f"""
signal.signal(signal.{name}, lambda *_: sys.exit(75))
open(f'{tmp_path}/{{rank}}', 'w').close()
while rank == 0 and len(os.listdir('{tmp_path}')) < 3:
    time.sleep(0.02)
if rank == 0:
    os.kill(os.getppid(), signal.{name})
time.sleep(60)
"""
    assert run_ranks([sys.executable, "-S", "-c", f"{RANK}{code}"], 3) == 75
    assert signal.getsignal(getattr(signal, name)) == before
