"""Whole processes measured from outside: wall and CPU seconds, and the greatest resident memory of the whole tree."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Run:
    """One process: what it took, and what it said of itself."""

    wall_s: float
    cpu_s: float
    peak_gb: float
    reads_per_s: float
    notes: dict[str, float] = field(default_factory=dict)


class Failed(Exception):
    """A peer's process ended with an error; the others go on."""


def measured(command: list[str], folder: Path, env: dict[str, str] | None = None) -> tuple[float, float, float, str]:
    """Run a command in `folder`: wall and CPU seconds, peak memory of the process tree in GB, what it printed."""
    log = folder / "log.txt"
    peak = 0

    def watch(pid: int) -> None:
        nonlocal peak
        while not done.wait(0.2):  # seldom, so that watching takes no core from the watched
            peak = max(peak, resident(pid))

    done = threading.Event()
    with log.open("wb") as out:
        begin = time.perf_counter()
        child = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        watcher = threading.Thread(target=watch, args=(child.pid,))
        watcher.start()
        try:
            # wait4 and not wait: it tells this child's own CPU time and peak, its children's included.
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - begin
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            done.set()
            watcher.join()
        child.returncode = os.waitstatus_to_exitcode(status)
    text = log.read_text(errors="replace")
    if child.returncode:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}:\n{text[-2000:]}")
    return wall, usage.ru_utime + usage.ru_stime, max(peak, usage.ru_maxrss * 1024) / 1e9, text


def resident(pid: int) -> int:
    """Resident bytes of a process and all that it started (Linux); 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        children = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE") + sum(resident(int(child)) for child in children.split())


def median(runs: list[Run]) -> Run:
    """The run of the median wall time (the slower of two)."""
    return sorted(runs, key=lambda run: run.wall_s)[len(runs) // 2]


HEAD = f"{'':28} {'wall s':>9} {'CPU s':>9} {'peak GB':>8} {'reads/s':>11}"


def row(name: str, run: Run) -> str:
    """A line of the table."""
    notes = ", ".join(f"{what} {value:.1f}" for what, value in run.notes.items())
    return f"{name:28} {run.wall_s:9.2f} {run.cpu_s:9.2f} {run.peak_gb:8.2f} {run.reads_per_s:11,.0f} {notes}"


def say(line: str) -> None:
    """Progress, beside the table."""
    print(line, file=sys.stderr, flush=True)
