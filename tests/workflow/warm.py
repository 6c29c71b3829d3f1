"""A `velocorpus` that starts at once: each call is forked from a process that has imported what most calls need.

A run of the workflow calls the command a hundred times, and on a small machine Python's imports take most of the time.
The command line that runs is the same; what is shared is only the start.
"""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HEAVY = (
    "velocorpus.cli.main",
    "velocorpus.counting.count",
    "velocorpus.counting.importing.bring_in",
    "velocorpus.corpus.building.build",
    "httpx",
)
CLIENT = """#!{python} -IS
import json, os, socket, sys

server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps([os.getcwd(), dict(os.environ), sys.argv]).encode())
server.shutdown(socket.SHUT_WR)
sys.exit(int(server.recv(16) or 70))
"""


@contextmanager
def warm_command() -> Iterator[Path]:
    """A folder with a `velocorpus` that starts at once, as long as the context lasts."""
    with tempfile.TemporaryDirectory() as folder:
        address, command = f"{folder}/socket", Path(folder, "bin/velocorpus")
        command.parent.mkdir()
        command.write_text(CLIENT.format(python=sys.executable, address=address))
        command.chmod(0o755)
        server = subprocess.Popen([sys.executable, __file__, address], stdin=subprocess.DEVNULL)
        try:
            while not Path(address).exists():
                assert server.poll() is None, "the server of warm starts has ended"
                time.sleep(0.05)
            yield command.parent
        finally:
            server.terminate()
            server.wait()


def serve(address: str) -> None:
    """Answer every call by a fork of this process."""
    for module in HEAVY:
        importlib.import_module(module)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{address}.new")
    listener.listen(64)
    Path(f"{address}.new").rename(address)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        call, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            answer(call)
            os._exit(0)
        call.close()


def answer(call: socket.socket) -> None:
    """Run the command line as the caller would: its streams, folder, environment and words; tell the exit code."""
    from velocorpus.cli.main import main

    _, streams, _, _ = socket.recv_fds(call, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    with call.makefile() as words:
        folder, environment, sys.argv = json.load(words)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    call.sendall(str(code).encode())


if __name__ == "__main__":
    serve(sys.argv[1])
