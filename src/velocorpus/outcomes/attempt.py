"""One step of one sample's road, which ends as an outcome and so never stops the other samples.

What a refused step owes is not missing: in place of each of its files stands the outcome, so Snakemake finds what the
rule declares, `temp()` works as ever, and a later step that is given such a file hands the outcome on without running.
A table or a file that is mended makes its own jobs run again, and no other; see `again` for causes outside both.
"""

import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from velocorpus.errors import UserMistake
from velocorpus.outcomes.failures import diagnose, signal_of
from velocorpus.outcomes.outcome import OUTCOME_FILE, Outcome, counts_of, refusal_at, stored_digest, write_outcome
from velocorpus.outcomes.picture import draw_outcome

# Someone ended the run: that says nothing about the sample.
STOPPED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def attempt(
    script: str,
    *,
    sample: str,
    stage: str,
    given: Sequence[Path],
    made: Sequence[Path],
    log: Path,
    last: bool,
    scratch: Path | None = None,
) -> int:
    """Run `script` by bash, its words into `log`; returns the exit code: 0 also when the sample is set aside.

    `given` are the step's inputs, `made` its outputs; an `outcome.json` among them gets the digest of the counts beside
    it. `scratch` is a folder of the step's own: empty before, and with nothing but outcomes when the sample is set
    aside. A failure that another try may mend keeps its exit code, unless this is the `last` try.
    """
    for refusal in map(refusal_at, given):
        if refusal is not None:
            set_aside(replace(refusal, sample=sample), made, scratch)
            return 0
    for path in made:
        _counts(path).unlink(missing_ok=True)
    _clear(scratch)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as words:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            check=False,
        )
    # kb ends with 0 whatever happened.
    code = done.returncode or int(not all(_counts(path).exists() for path in made))
    if code == 0:
        for path in made:
            if path.name == OUTCOME_FILE:
                write_outcome(
                    path, sample=sample, state="ok", counts_digest=stored_digest(counts_of(path)), stage=stage
                )
        return 0
    reason, forever = diagnose(log.read_text(errors="replace"), code)
    if signal_of(code) in STOPPED or not (forever or last):
        print(f"velocorpus: sample {sample}, {stage}: {reason}", file=sys.stderr)
        return code
    _end(Outcome(sample, "refused" if forever else "failed", reason, stage=stage), made, scratch)
    return 0


def give_up(*, sample: str, stage: str, tries: int, made: Sequence[Path], scratch: Path | None = None) -> None:
    """Set a sample aside after `tries` that left neither files nor a reason: each was killed with its whole job."""
    reason = (
        f"ended from outside in each of {tries} tries, most often for want of memory or time; give the step more of it "
        "in the profile, then `velocorpus again`"
    )
    _end(Outcome(sample, "failed", reason, stage=stage), made, scratch)


def set_aside(outcome: Outcome, made: Sequence[Path], scratch: Path | None = None) -> None:
    """Let `outcome` stand in place of every file in `made`, drawn where it is a PNG; nothing else is in `scratch`."""
    _clear(scratch)
    for path in made:
        _counts(path).unlink(missing_ok=True)
        written = write_outcome(path, **vars(outcome))
        if path.suffix == ".png":
            draw_outcome(written, path)


def again(results: Path, states: Collection[str], samples: Collection[str] = ()) -> list[Path]:
    """Remove the outcomes in these states, of these samples or of all, so that the next run tries those steps again.

    For causes that neither a table nor a file shows: a host that is back, more memory, a mended program.
    """
    for sample in samples:
        if all(refusal_at(results / stage / sample / OUTCOME_FILE) is None for stage in ("counts", "doublets")):
            raise UserMistake(f"No sample '{sample}' is set aside in {results}; see `velocorpus status`.")
    found = {
        path: None
        for folder in sorted([*results.glob("counts/*"), *results.glob("doublets/*")])
        if (outcome := refusal_at(folder / OUTCOME_FILE)) is not None
        and outcome.state in states
        and (not samples or outcome.sample in samples)
        for pattern in (f"*/{folder.name}/**/*", f"*/{folder.name}.*", f"*/*/{folder.name}.*")
        for path in sorted(results.glob(pattern))
        if getattr(refusal_at(path), "sample", None) == folder.name
    }
    for path in found:
        path.unlink()
    return list(found)


def _end(outcome: Outcome, made: Sequence[Path], scratch: Path | None) -> None:
    set_aside(outcome, made, scratch)
    state, stage = outcome.state, outcome.stage
    print(f"velocorpus: sample {outcome.sample} is set aside, {state} at {stage}: {outcome.reason}", file=sys.stderr)


def _counts(path: Path) -> Path:
    """What a step itself writes for `path`: the counts where that is their outcome."""
    return counts_of(path) if path.name == OUTCOME_FILE else path


def _clear(scratch: Path | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
