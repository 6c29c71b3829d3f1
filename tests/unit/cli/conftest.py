"""The command line in this process, and a folder of good inputs."""

import sys
from dataclasses import dataclass

import pytest
from project_makers import make_project, working_in


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def velocorpus(monkeypatch, capsys):
    """The command line in this process, with the exit code that the program would have."""
    from velocorpus.cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["velocorpus", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main()
        return Done(int(stopped.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """The folder; nothing may be written into it."""
    folder = tmp_path_factory.mktemp("project")
    with working_in(folder):
        make_project(folder)
    return folder
