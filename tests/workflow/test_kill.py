"""SIGKILL in the middle of a stage loses nothing: the rerun ends in the same bytes as a run that nobody disturbed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from velocorpus.files import sha256

ROOT = Path(__file__).parents[2]
# Killed as soon as a file of this pattern appears: while others simulate or count, and before Snakemake has
# noted that the vocabulary or the shard is done, and in the middle of training.
MOMENTS = (
    "results/simulated/*/counts.h5ad",
    "results/counts/*/outcome.json",
    "results/corpus/vocabulary.feather",
    "results/corpus/shards/*.feather",
    "results/models/encoder.partial/checkpoints/step_*.safetensors",
)
PATIENCE_S = 300


def configuration(folder: Path) -> Path:
    """The tiny example without its samples of reads, which only make the drill longer."""
    folder.mkdir()
    for source in (ROOT / "config/examples/tiny").iterdir():
        lines = source.read_text().splitlines(keepends=True)
        if source.name in ("samples.tsv", "units.tsv"):
            lines = [line for line in lines if line.startswith(("sample\t", "sim_01", "sim_03", "sim_04"))]
        (folder / source.name).write_text("".join(lines))
    return folder / "config.yaml"


def command(config: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    snakemake = ["snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", "--cores", "2"]
    snakemake += ["--scheduler", "greedy"]
    return [*snakemake, "--configfile", str(config), "--rerun-incomplete", *arguments], os.environ | {"PATH": path}


def finish(folder: Path, config: Path, path: str) -> str:
    line, env = command(config, "pretrain")
    env |= {"PATH": path}
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stderr


def kill_when(folder: Path, config: Path, pattern: str) -> bool:
    """Start a run and kill its whole process group when `pattern` appears; False when it ended before."""
    line, env = command(config, "pretrain")
    with (folder / "run.log").open("w") as log:
        run = subprocess.Popen(line, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True)
        before = set(folder.glob(pattern))
        deadline = time.monotonic() + PATIENCE_S
        while run.poll() is None and not set(folder.glob(pattern)) - before:
            assert time.monotonic() < deadline, f"{pattern} never appeared"
            time.sleep(0.005)
        killed = run.poll() is None
        os.killpg(run.pid, signal.SIGKILL) if killed else None
        run.wait()
    # What `snakemake --unlock` does, without its start.
    shutil.rmtree(folder / ".snakemake/locks", ignore_errors=True)
    return killed


def digests(folder: Path) -> dict[str, str]:
    """Of the corpus and the encoder's weights; not of `.name.*`, where a killed job had begun to write."""
    wanted = (
        *folder.glob("results/corpus/**/*.feather"),
        *folder.glob("results/corpus/**/*.json"),
        folder / "results/models/encoder/model.safetensors",
    )
    return {str(path.relative_to(folder)): sha256(path) for path in wanted if not path.parent.name.startswith(".")}


@pytest.mark.slow
def test_a_run_killed_in_every_stage_ends_in_the_same_bytes(tmp_path, warm):
    config = configuration(tmp_path / "config")
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    quiet.mkdir()
    killed.mkdir()
    finish(quiet, config, warm)

    kills = [kill_when(killed, config, pattern) for pattern in MOMENTS]
    assert sum(kills) >= 3, "the drill must hit the run in most of its stages"
    finish(killed, config, warm)

    assert digests(killed) == digests(quiet)
    assert "Nothing to be done" in finish(killed, config, warm)
