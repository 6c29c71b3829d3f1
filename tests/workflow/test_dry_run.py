"""Every example configuration plans its jobs, and a mistake ends in one sentence before any job."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("config/**/config*.yaml"))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the environment that runs these tests, in `folder`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        arguments, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Snakemake on the checkout's Snakefile; results go to `folder`."""
    return run(folder, "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--profile", "none", *arguments)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_example_plans_its_jobs(config, tmp_path):
    needs_data = "VELOCORPUS_TEST_DATA" in (ROOT / config).with_name("units.tsv").read_text()
    if needs_data and "VELOCORPUS_TEST_DATA" not in os.environ:
        pytest.skip("VELOCORPUS_TEST_DATA is not set")
    planned = snakemake(tmp_path, "--configfile", str(ROOT / config), "--dry-run", "--quiet", "rules")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "finetune_velocity" in planned.stdout + planned.stderr


def copy_of_tiny(folder: Path) -> Path:
    for source in (ROOT / "config/examples/tiny").iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    return folder / "config.yaml"


# Both sides read a project by one function: each of its mistakes is held where no Snakemake has to start
# (tests/unit/cli/test_mistakes_in_tables.py).
@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("samples.tsv", "organism\t", "organsim\t", "'organsim' is not a column (nearest: 'organism')"),
        ("config.yaml", "min_counts:", "min_count:", "'cells.min_count' is not a key"),
    ],
)
def test_a_mistake_is_one_sentence_from_both_sides(tmp_path, file, old, new, said):
    config = copy_of_tiny(tmp_path)
    path = tmp_path / file
    path.write_text(path.read_text().replace(old, new, 1))

    checked = run(tmp_path, "velocorpus", "check", "--config", str(config))
    assert checked.returncode == 2
    assert said in checked.stderr
    assert len(checked.stderr.strip().splitlines()) == 1

    planned = snakemake(tmp_path, "--configfile", str(config), "--dry-run")
    assert planned.returncode == 2
    assert said in planned.stderr
    assert "Traceback" not in planned.stderr


def test_a_setting_counts_in_the_configuration_and_is_refused_on_the_command_line(tmp_path):
    config = copy_of_tiny(tmp_path)
    arguments = ("--configfile", str(config), "--dry-run", "--printshellcmds")
    refused = snakemake(tmp_path, *arguments, "--config", "pretrain_processes=2")
    assert refused.returncode == 2
    assert "write pretrain_processes into" in refused.stderr

    config.write_text(config.read_text() + "\npretrain_processes: 2\n")
    assert "--processes 2 " in snakemake(tmp_path, *arguments).stdout


def commands_for_the_corpus(folder: Path, config: Path) -> list[str]:
    """The shell commands that a dry run of a configuration plans up to the manifest, a line each."""
    planned = snakemake(
        folder, "--configfile", str(config), "--dry-run", "--printshellcmds", "results/corpus/manifest.json"
    )
    return [" ".join(line.split()) for line in planned.stdout.splitlines() if "velocorpus " in line]


def test_scores_and_cuts_are_planned_where_they_are_asked_for(tmp_path):
    config = copy_of_tiny(tmp_path)
    asked = "cells:\n  score_doublets: true\n  cuts: {max_doublet_score: 0.3}\n"
    config.write_text(config.read_text().replace("cells:\n", asked, 1))
    commands = commands_for_the_corpus(tmp_path, config)
    totals, shards = ([line for line in commands if f"corpus {job}" in line] for job in ("totals", "shard"))
    assert len(totals) == sum("velocorpus attempt doublets" in line for line in commands) > len(shards) > 0
    assert all("results/doublets/" in line and "--cut max_doublet_score=0.3" in line for line in [*totals, *shards])


def test_shards_and_manifest_hold_out_the_studies_of_a_rule(tmp_path):
    config = copy_of_tiny(tmp_path)
    config.write_text(config.read_text().replace("corpus:\n", "corpus:\n  hold_out: [test:tissue=pancreas]\n", 1))
    commands = commands_for_the_corpus(tmp_path, config)
    held_out = {"sim_02", "sim_b", "sim_04"}
    assert not [line for line in commands if "--cut" in line or "doublets" in line]
    shards = [line for line in commands if "corpus shard" in line]
    assert {study for words in shards for study in re.findall(r"--test-study (\S+)", words)} == held_out
    (manifest,) = (line for line in commands if "corpus manifest" in line)
    assert set(re.findall(r"--test-study (\S+)", manifest)) == held_out
    assert "--hold-out test:tissue=pancreas" in manifest
