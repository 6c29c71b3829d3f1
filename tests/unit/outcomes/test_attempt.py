"""A step of a sample ends with its files, or with the reason in their place; what may pass is tried again."""

import signal
from functools import partial

import pytest

from velocorpus.errors import UserMistake
from velocorpus.outcomes import attempt as attempts
from velocorpus.outcomes.outcome import Outcome, counts_of, read_outcome, refusal_at, write_outcome


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Run a script as the step `align` of sample `a`; it owes `made/x` and `made/y` unless said otherwise."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "made").mkdir()

    def run(script, *, given=(), made=("made/x", "made/y"), last=False, scratch=None):
        paths = [[tmp_path / name for name in names] for names in (given, made)]
        return attempts.attempt(
            script,
            sample="a",
            stage="align",
            given=paths[0],
            made=paths[1],
            log=tmp_path / "log",
            last=last,
            scratch=scratch,
        )

    return run


def states(folder):
    return [outcome and outcome.state for outcome in map(refusal_at, sorted((folder / "made").iterdir()))]


def test_a_step_that_succeeds_leaves_what_it_made(step, tmp_path):
    assert step("echo 1 > made/x; echo 2 > made/y; echo word; echo word >&2") == 0
    assert (tmp_path / "made/y").read_text() == "2\n"
    assert (tmp_path / "log").read_text() == "word\nword\n"


def test_a_refusal_takes_the_place_of_every_output(step, tmp_path):
    assert step("echo half > made/x; echo velocorpus: No reads. >&2; exit 2") == 0
    assert read_outcome(tmp_path / "made/x") == Outcome("a", "refused", "No reads.", stage="align")
    assert (tmp_path / "made/x").read_bytes() == (tmp_path / "made/y").read_bytes()


def test_a_refusal_in_place_of_a_figure_is_a_picture_and_the_same_twice(step, tmp_path):
    for name in ("one.png", "two.png"):
        assert step("echo velocorpus: No reads. >&2; exit 2", made=("made/x", f"made/{name}")) == 0
    assert read_outcome(tmp_path / "made/x").reason == "No reads."
    picture = (tmp_path / "made/one.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture == (tmp_path / "made/two.png").read_bytes()


def test_a_refusal_is_handed_on_without_running(step, tmp_path):
    write_outcome(tmp_path / "reads", sample="b", state="failed", reason="Why.", stage="fetch")
    assert step("touch ran", given=["reads"]) == 0
    assert read_outcome(tmp_path / "made/y") == Outcome("a", "failed", "Why.", stage="fetch")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("script", ["exit 1", "exit 75", "false | true", "kill -9 $$", "true"])
def test_a_failure_that_may_pass_is_the_steps_own_until_the_last_try(step, tmp_path, script):
    assert step(script) != 0
    assert not list((tmp_path / "made").iterdir())
    assert step(script, last=True) == 0
    assert states(tmp_path) == ["failed", "failed"]


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP"])
def test_a_run_that_somebody_ends_says_nothing_about_the_sample(step, tmp_path, name, request):
    number = getattr(signal, f"SIG{name}")
    # Whoever runs the tests under nohup, or in a shell's background, has told all that they start to ignore it.
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    assert step(f"kill -{name} $$", last=True) == -number
    assert not list((tmp_path / "made").iterdir())


def test_an_outcome_that_is_owed_gets_the_digest_of_the_counts(step, tmp_path, monkeypatch):
    monkeypatch.setattr(attempts, "stored_digest", lambda counts: counts.read_text().strip())
    assert step("echo d1 > made/counts.h5ad", made=["made/outcome.json"]) == 0
    assert read_outcome(tmp_path / "made/outcome.json") == Outcome("a", "ok", counts_digest="d1", stage="align")


@pytest.mark.parametrize("given", [[], ["reads"]])
def test_counts_of_before_do_not_outlive_a_refusal(step, tmp_path, given):
    write_outcome(tmp_path / "reads", sample="a", state="refused", reason="Why.", stage="fetch")
    counts_of(tmp_path / "made/outcome.json").write_text("old")
    assert step("echo velocorpus: No. ; exit 2", given=given, made=["made/outcome.json"]) == 0
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["outcome.json"]


def test_a_scratch_folder_is_empty_before_and_has_only_outcomes_after_a_refusal(step, tmp_path):
    (tmp_path / "made/old").write_text("of a killed run")
    assert step("[ -z $(ls made) ]; touch made/x made/y made/bulk", scratch=tmp_path / "made") == 0
    assert step("touch made/bulk; echo velocorpus: No. ; exit 2", scratch=tmp_path / "made") == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["x", "y"]


def test_reads_that_begin_with_a_brace_are_no_refusal(tmp_path):
    (tmp_path / "x").write_text('{"state": "refused"}')
    assert refusal_at(tmp_path / "x") is None
    write_outcome(tmp_path / "x", sample="a", state="ok")
    assert refusal_at(tmp_path / "x") is None
    assert refusal_at(tmp_path / "absent") is None


@pytest.fixture
def results(tmp_path):
    """A sample that failed at the fetch, one that was refused there, one whose name begins as the first's."""
    for sample, state in (("a", "failed"), ("b", "refused"), ("a.2", "refused")):
        for name in (f"counts/{sample}/outcome.json", f"reads/{sample}/u_R1.fastq.gz", f"cells/{sample}.tsv"):
            write_outcome(tmp_path / name, sample=sample, state=state, reason="Why.", stage="fetch")
        (tmp_path / f"reads/{sample}/u_R2.fastq.gz").write_text("reads")
    return tmp_path


def left(results):
    return {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file()}


def test_failed_samples_are_tried_again_and_what_they_have_stays(results):
    before = left(results)
    attempts.again(results, ["failed"])
    assert before - left(results) == {"counts/a/outcome.json", "reads/a/u_R1.fastq.gz", "cells/a.tsv"}


def test_only_the_named_samples_are_tried_again(results):
    before = left(results)
    assert len(attempts.again(results, ["failed", "refused"], ["b"])) == 3
    assert all("b" in name.split("/")[1][0] for name in before - left(results))


def test_a_name_that_was_not_set_aside_is_said(results):
    with pytest.raises(UserMistake, match="'c'"):
        attempts.again(results, ["failed"], ["c"])


def test_a_sample_that_failed_after_its_counts_is_tried_again_from_there(results):
    for sample in "ac":
        path = results / f"doublets/{sample}/outcome.json"
        write_outcome(path, sample=sample, state="failed", reason="Why.", stage="doublets")
    assert attempts.again(results, ["failed"], ["c"]) == [results / "doublets/c/outcome.json"]
    assert results / "doublets/a/outcome.json" in attempts.again(results, ["failed"])
