"""`attempt`, `again` and `status` from the outside: exit codes, and one sentence for a mistake."""

import io
import os
import sys

import pytest

from velocorpus.outcomes.outcome import read_outcome, write_outcome


@pytest.fixture
def run(velocorpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def started(*words, script=""):
        monkeypatch.setattr(sys, "stdin", io.StringIO(script))
        return velocorpus(*words)

    return started


STEP = ("attempt", "align", "reads", "::", "x", "--sample", "a", "--log", "log", "--of", "2")


def test_a_step_runs_the_script_of_its_stdin(run, tmp_path):
    assert run(*STEP, script="echo 'made of $HOME' > x").returncode == 0
    assert (tmp_path / "x").read_text() == "made of $HOME\n"


def test_a_failure_is_told_by_its_exit_code_until_the_last_try(run, tmp_path):
    done = run(*STEP, script="exit 75")
    assert done.returncode == os.EX_TEMPFAIL
    assert done.stderr.startswith("velocorpus: sample a, align: ")
    assert run(*STEP, script="kill -9 $$").returncode == 137
    done = run(*STEP, "--number", "2", script="exit 75")
    assert (done.returncode, read_outcome(tmp_path / "x").state) == (0, "failed")
    assert done.stderr.startswith("velocorpus: sample a is set aside, failed at align: ")


def test_a_start_after_the_last_try_records_that_none_before_it_lived(run, tmp_path):
    done = run(*STEP, "--number", "3", script="touch ran")
    assert done.returncode == 0
    outcome = read_outcome(tmp_path / "x")
    assert (outcome.state, outcome.stage) == ("failed", "align")
    assert outcome.reason.startswith("ended from outside in each of 2 tries")
    assert outcome.reason in done.stderr
    assert not (tmp_path / "ran").exists()


def test_a_sample_that_is_to_be_skipped_is_set_aside_for_the_reason_given(run, tmp_path):
    assert run("attempt", "skip", "::", "outcome.json", "--sample", "a", "--skip=no consent").returncode == 0
    outcome = read_outcome(tmp_path / "outcome.json")
    assert (outcome.state, outcome.reason) == ("skipped", "no consent")


def test_status_says_what_became_of_every_row(run, tmp_path):
    (tmp_path / "samples.tsv").write_text("sample\tstudy\na\ts\nb\ts\n")
    write_outcome(tmp_path / "results/counts/a/outcome.json", sample="a", state="failed", reason="404.", stage="fetch")
    lines = run("status", "--samples", "samples.tsv").stdout.splitlines()
    assert [line.split("\t")[:5] for line in lines[1:]] == [
        ["a", "s", "fetch", "failed", "404."],
        ["b", "s", "", "pending", "not run to its end yet"],
    ]
    assert "next run: 1" in run("again").stderr
    assert not (tmp_path / "results/counts/a/outcome.json").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attempt", "align", "reads", "--sample", "a"), "INPUT… :: OUTPUT…"),
        (("attempt", "align", "reads", "::", "--sample", "a"), "INPUT… :: OUTPUT…"),
        (("attempt", "align", "::", "x", "--sample", "a"), "--log"),
        (("status", "--samples", "absent.tsv"), "absent.tsv"),
        (("again", "--results", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_is_one_sentence(run, words, said):
    done = run(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
