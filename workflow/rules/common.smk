"""Loads and validates the configuration and the tables; every other rule file reads PROJECT, CONFIG and TABLES.

A mistake in them ends the run with one sentence before any job starts.
"""

from pathlib import Path

from snakemake.exceptions import WorkflowError

from velocorpus.errors import UserMistake
from velocorpus.project import load_project

try:
    PROJECT = load_project(Path(workflow.configfiles[-1]))
except UserMistake as mistake:
    raise WorkflowError(str(mistake)) from None

CONFIG = PROJECT.config
TABLES = PROJECT.tables
DECODERS = ("expression", "velocity", "trajectory")


wildcard_constraints:
    sample=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    unit=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    study=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    reference=r"[A-Za-z0-9_][A-Za-z0-9_.-]*",
    group=r"g\d{5}",
    decoder="|".join(DECODERS),
