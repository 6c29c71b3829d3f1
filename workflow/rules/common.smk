"""Loads and validates the configuration and the tables, and answers what rules ask of them; it has no rule.

A mistake in them ends the run with one sentence before any job starts.
"""

import os
import re
import sys

from velocorpus.errors import UserMistake
from velocorpus.names import SPLITS
from velocorpus.project import SIMULATED, load_project

try:
    # Relative, so that a checkout may move without its results being made again.
    PROJECT = load_project(os.path.relpath(workflow.configfiles[-1]))
except UserMistake as mistake:
    # Not a WorkflowError: Snakemake would put lines of ours around the sentence, and exit with 1.
    print(f"velocorpus: {mistake}", file=sys.stderr)
    sys.exit(2)

CONFIG = PROJECT.config
TABLES = PROJECT.tables
SAMPLES_TABLE = str(PROJECT.path.parent / CONFIG.samples)
GROUPS = PROJECT.groups
TAUGHT_STUDIES = [study for study in TABLES.studies if study not in PROJECT.test_studies]
DECODERS = ("expression", "velocity", "trajectory")


wildcard_constraints:
    sample=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    unit=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    study=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    reference=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    group=r"g\d{5}",
    decoder="|".join(DECODERS),


def repeated(option, values):
    """`option` before each value, as a list that `:q` quotes: the command line takes lists as repeated options."""
    return [text for value in values for text in (option, str(value))]


def outcomes_of(samples):
    """What became of each sample: the file that a sample's job always writes."""
    return [f"results/counts/{sample}/outcome.json" for sample in samples]


def simulated_as(ending):
    """Pattern of the samples whose files the simulator writes in one form, told by the path of a unit."""
    found = [
        name
        for name, units in TABLES.units.items()
        if any(
            path.startswith(f"{SIMULATED}/{name}/") and path.endswith(ending)
            for unit in units
            for path in (unit.read1, unit.path)
        )
    ]
    return "|".join(map(re.escape, found)) or "(?!)"


def group_outcomes(wildcards):
    return outcomes_of(GROUPS[wildcards.group])


def group_rows(wildcards):
    """What the table says of a group's samples: a shard is made again when this changes, not when others' rows do."""
    return [str(TABLES.samples[sample]) for sample in GROUPS[wildcards.group]]


def study_counts(wildcards):
    return outcomes_of(TABLES.samples_of(wildcards.study))


def study_truths(wildcards):
    return PROJECT.truths(wildcards.study)


def studies_taught_by(truth):
    """Pattern of the studies whose teacher is the truth, or is not."""
    found = [s for s in TABLES.studies if (PROJECT.teacher(s) == "truth") == truth]
    return "|".join(map(re.escape, found)) or "(?!)"


def evaluation_tables():
    """The tables of the report, in the order in which they are shown."""
    return ["results/evaluate/corpus.json"]


def evaluation_figures():
    return ["results/figures/curves.png"]


HELD_OUT = [
    *repeated("--validation-study", CONFIG.corpus.validation_studies),
    *repeated("--test-study", CONFIG.corpus.test_studies),
]
