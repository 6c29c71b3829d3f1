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


@pytest.fixture
def refused(velocorpus, tmp_path):
    """Run a command that must end in one sentence with the words, and leave nothing at tmp_path/out."""

    def run(line, *words):
        done = velocorpus(*(line.split() if isinstance(line, str) else line))
        told = [one for one in done.stderr.splitlines() if one.startswith("velocorpus: ")]
        assert (done.returncode, len(told), done.stderr.splitlines()[-1]) == (2, 1, told[-1] if told else None), done
        for word in words:
            assert word in told[0]
        assert not (tmp_path / "out").exists()

    return run
