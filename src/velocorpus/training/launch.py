"""The ranks of one machine, started by the command itself.

torchrun starts ranks too, on many machines, but ends with 1 whatever they end with: a run that was asked to stop and
has saved looks like one that has failed. Here the exit code is theirs, and takes as long to save as it takes.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from types import FrameType

from velocorpus.training.stopping import SIGNALS

FINE = (0, os.EX_TEMPFAIL)
LOOK_S = 0.1  # how often it is seen whether a rank has ended


def run_ranks(command: Sequence[str], n: int) -> int:
    """Run `command` as `n` ranks and give the exit code: 75 if they were stopped and may go on, else a failed one's.

    SIGTERM and SIGUSR1 are handed on. When a rank fails the others, which would wait for it, are killed.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(n)}
    ranks: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        for rank in ranks:
            rank.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        for i in range(n):
            environment = os.environ | told | {"RANK": str(i), "LOCAL_RANK": str(i)}
            ranks.append(subprocess.Popen(command, env=environment))
        while True:
            codes = [rank.poll() for rank in ranks]
            failed = [code for code in codes if code is not None and code not in FINE]
            if failed or None not in codes:
                break
            time.sleep(LOOK_S)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
    # The rank that has a sentence for the user tells more than the others that have lost it.
    code = 2 if 2 in failed else failed[0] if failed else max(code for code in codes if code is not None)
    return 128 - code if code < 0 else code
