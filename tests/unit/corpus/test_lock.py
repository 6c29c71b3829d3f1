"""Two builders at once: one is refused, and a killed one leaves nothing locked."""

import signal
import subprocess
import sys

import pytest
from corpus_makers import make_corpus, make_counts

from velocorpus.corpus.changing.samples import add, remove
from velocorpus.corpus.lock import locked
from velocorpus.errors import TryLater

HOLD = """
import sys
from velocorpus.corpus.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `c`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "c")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_builder_is_refused_until_the_first_is_killed(tmp_path, holder):
    counts = make_counts(tmp_path, n_cells=3)
    with pytest.raises(TryLater, match="being written by another process"):
        make_corpus(tmp_path / "c", [counts])
    assert not (tmp_path / "c").exists()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    make_corpus(tmp_path / "c", [counts])


def test_every_change_takes_the_lock(tmp_path):
    folder = make_corpus(tmp_path / "c", [make_counts(tmp_path, n_cells=3)])
    (tmp_path / "link").symlink_to(folder)
    with locked(tmp_path / "link"):
        with pytest.raises(TryLater):
            add(folder, [], samples={}, group_samples=1)
        with pytest.raises(TryLater):
            remove(folder, ["a"], because="w")


def test_jobs_of_one_corpus_share_it_and_keep_the_manifest_out(tmp_path):
    one, two, alone = (locked(tmp_path / "c", shared=shared) for shared in (True, True, False))
    with one, two, pytest.raises(TryLater):
        alone.__enter__()
    with locked(tmp_path / "c"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, capsys):
    def refuse(handle, kind):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "c"):
        assert "its file system has no locks" in capsys.readouterr().err
