"""Loads and validates the configuration and the tables; every other rule file reads PROJECT, CONFIG and TABLES.

A mistake in them ends the run with one sentence before any job starts.
"""

import os
import re
import sys

from velocorpus.errors import UserMistake
from velocorpus.project import load_project

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
