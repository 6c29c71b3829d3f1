"""What the program says of itself."""

from velocorpus import __version__


def test_the_version_needs_no_command(velocorpus):
    done = velocorpus("--version")
    assert (done.returncode, done.stdout) == (0, f"{__version__}\n")
