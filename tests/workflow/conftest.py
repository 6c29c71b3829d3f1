"""A `velocorpus` that starts at once, for the runs that nobody kills."""

import os
import sys
from pathlib import Path

import pytest
from tests.workflow.warm import warm_command


@pytest.fixture(scope="session")
def warm():
    """A search path: the command that starts at once before the environment that runs these tests."""
    with warm_command() as folder:
        yield os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
