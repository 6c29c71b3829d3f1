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


def test_shards_and_manifest_hold_out_the_studies_of_a_rule(tmp_path):
    config = copy_of_tiny(tmp_path)
    config.write_text(config.read_text().replace("corpus:\n", "corpus:\n  hold_out: [test:tissue=pancreas]\n", 1))
    planned = snakemake(
        tmp_path, "--configfile", str(config), "--dry-run", "--printshellcmds", "results/corpus/manifest.json"
    )
    commands = [line for line in planned.stdout.splitlines() if "velocorpus corpus " in line]
    held_out = {"sim_02", "sim_b", "sim_04"}
    shards = [words for line in commands if "corpus shard" in (words := " ".join(line.split()))]
    assert {study for words in shards for study in re.findall(r"--test-study (\S+)", words)} == held_out
    (manifest,) = (line for line in commands if "corpus manifest" in line)
    assert set(re.findall(r"--test-study (\S+)", manifest)) == held_out
    assert "--hold-out test:tissue=pancreas" in manifest
