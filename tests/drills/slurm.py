"""Put the recipes of docs/training.md through a real SLURM: warned, saved, requeued, and the bytes of a quiet run.

python -m tests.drills.slurm

Needs `sbatch` and a partition that starts two tasks with a CPU each. The scripts are those of the page, on two CPU
processes instead of GPUs. The warning is `scancel --signal`, which signals as `--signal=USR1@<seconds>` does, without
the wait for a limit; SLURM lets a requeued job wait for about two minutes.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.drills.training import MODEL, PRETRAIN, contents
from tests.unit.corpus.corpus_makers import HUMAN, make_corpus, make_counts

from velocorpus.corpus.plan import Splits

PAGE = Path("docs/training.md")
HERE = {"--gpus=8": "", "--gpus-per-node=8": "", "--nodes=4 --ntasks-per-node=8": "--nodes=1 --ntasks-per-node=2"}
HERE |= {"--device cuda": "", "--processes 8": "--processes 2", "--time=24:00:00": "--time=60"}
STEPS = 40


def recipes(page: str) -> list[str]:
    """The page's batch scripts; the second ends as the first."""
    one, many = re.findall(r"^```\n(#SBATCH.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [one, many + one[one.index("code=$?") :]]


def said(*command: str, folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def steps_in(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count('"train"') if path.exists() else 0


def warned(folder: Path, number: int, recipe: str) -> tuple[int, str]:
    """Submit a recipe, warn it, wait for its end: the steps that it had made, and how often it was requeued."""
    out = f"recipe_{number}"
    for there, here in (HERE | {"…": f"--corpus corpus --config config.yaml --out {out}"}).items():
        recipe = recipe.replace(there, here)
    (folder / f"{out}.sh").write_text(f"#!/bin/bash\n#SBATCH --output={out}.log --mem=3000\n{recipe}")
    job = said("sbatch", "--parsable", f"{out}.sh", folder=folder).strip()
    while (steps := steps_in(folder / f"{out}.partial")) < STEPS // 4:
        time.sleep(0.1)
    said("scancel", "--signal=USR1", job, folder=folder)
    while True:
        told = said("scontrol", "--oneliner", "show", "job", job, folder=folder)
        state, restarts = (re.findall(rf"{key}=(\S+)", told)[0] for key in ("JobState", "Restarts"))
        if state in ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"):
            assert state == "COMPLETED", (folder / f"{out}.log").read_text()
            return steps, restarts
        time.sleep(1)


def main() -> None:
    found = recipes(PAGE.read_text(encoding="utf-8"))
    print("| recipe | steps done when it was warned | requeued | same bytes |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        counts = [make_counts(folder, s, seed=ord(s), n_cells=60, genes=HUMAN[:80]) for s in "abv"]
        make_corpus(folder / "corpus", counts, splits=Splits(("study_v",)))
        config = {"model": MODEL, "pretrain": PRETRAIN | {"steps": STEPS, "checkpoint_steps": STEPS}}
        (folder / "config.yaml").write_text(json.dumps(config))
        options = ("--corpus", "corpus", "--config", "config.yaml", "--out", "quiet", "--processes", "2")
        said(sys.executable, "-m", "velocorpus.cli.main", "pretrain", *options, folder=folder)
        for number, recipe in enumerate(found, 1):
            steps, restarts = warned(folder, number, recipe)
            same = contents(folder / f"recipe_{number}") == contents(folder / "quiet")
            print(f"| {number} | {steps} of {STEPS} | {restarts} | {'yes' if same else 'NO'} |", flush=True)


if __name__ == "__main__":
    main()
