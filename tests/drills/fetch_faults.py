"""What goes wrong when a file is fetched, and what must come of it: single replies that are spoiled, and stories.

Sources are cut, damaged or replaced, before or between two runs; the fetching process is killed and run again.
"""

import gzip
import hashlib
import os
import random
import subprocess
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.drills import misbehaving as bad

from velocorpus.config import FetchConfig
from velocorpus.errors import UserMistake
from velocorpus.reads.fetch.file import fetch

PART_BYTES = 16 << 10
TIMEOUT_S = 0.4
RIGHT, ABSENT = "right", "absent, with a reason"
SCHEMES = ("http", "s3")


@dataclass
class Kind:
    """A kind of fault and what must come of it. `spoil` spoils single replies; the others are stories of their own."""

    name: str
    expected: str
    spoil: bad.Fault | None = None
    story: "Callable[[Drill, Kind], str] | None" = None
    schemes: tuple[str, ...] = SCHEMES
    most: int = 3


class Drill:
    """One file on one server, fetched while things go wrong."""

    def __init__(self, scheme: str, sites: dict[str, bad.Site], rng: random.Random, folder: Path):
        self.rng, self.scheme, self.site, self.folder = rng, scheme, sites[scheme], folder
        self.name = f"r{rng.getrandbits(64):x}.fastq.gz"
        self.out = folder / self.name
        self.site.faults, self.site.asked, self.site.slow_s = deque(), [], 0.0
        self.injected = 0
        self.put(reads(rng))
        self.parallel = rng.randrange(1, 6)

    def put(self, content: bytes) -> None:
        """Put or replace the file on the server."""
        self.content = content
        if self.scheme == "s3":
            import boto3

            client = boto3.client("s3", endpoint_url=os.environ["DRILL_S3"])
            client.put_object(Bucket="reads", Key=self.name, Body=content)
            self.source = f"s3://reads/{self.name}"
        else:
            self.source = self.site.keep(self.name, content, etag=f'"{hashlib.md5(content).hexdigest()}"')

    def get(self, *, md5: str | None = None, retries: int = 8) -> str:
        """Fetch, and say how it ended."""
        how = FetchConfig(
            parallel=self.parallel,
            retries=retries,
            timeout_s=TIMEOUT_S,
            s3_endpoint=self.site.address if self.scheme == "s3" else None,
        )
        try:
            fetch(self.source, self.out, md5=md5, how=how, wait_s=0.001, part_bytes=PART_BYTES)
        except UserMistake as mistake:
            return ABSENT if not self.out.exists() and str(mistake) else "left in place by a refusal"
        except Exception as error:
            return f"error: {type(error).__name__}: {error}"
        got = self.out.read_bytes()
        # Some bits of a gzip file mean nothing to its reads: only an MD5 tells that they changed.
        if got != self.content and (md5 or unpacked(got) != unpacked(self.content)):
            return "WRONG ACCEPTED"
        left = [path.name for path in self.folder.iterdir() if path != self.out]
        return RIGHT if not left else f"left behind: {left}"

    def md5(self) -> str | None:
        """Half of the tables give an MD5; the gzip stream must tell in the others."""
        return hashlib.md5(self.content).hexdigest() if self.rng.random() < 0.5 else None

    def spoil(self, fault: bad.Fault, most: int) -> None:
        """Have up to `most` of the next replies spoiled: of all parts, or of the one that there is without ranges."""
        kept = self.site.files.get(f"/{self.name}")
        whole = kept is not None and not (kept.ranges and kept.etag.startswith('"'))
        n_requests = 2 if whole else 1 + -(-len(self.content) // PART_BYTES)
        where = set(self.rng.sample(range(n_requests), k=min(n_requests, self.rng.randrange(1, most + 1))))

        def counted(reply: bad.Reply, rng: random.Random) -> bad.Reply:
            self.injected += 1
            return fault(reply, rng)

        self.site.faults = deque(counted if i in where else None for i in range(n_requests))


def reads(rng: random.Random) -> bytes:
    """A FASTQ of random reads, compressed: 20 to 200 kB."""
    records = []
    for i in range(rng.randrange(400, 4000)):
        records.append(f"@r{i}\n{''.join(rng.choices('ACGT', k=91))}\n+\n{'F' * 91}\n")
    return gzip.compress("".join(records).encode(), compresslevel=1, mtime=0)


def unpacked(content: bytes) -> bytes | None:
    """What is in a gzip file; None when it is damaged."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return None


def spoiled(drill: Drill, kind: Kind) -> str:
    """Single replies go wrong; the tries must make up for it."""
    assert kind.spoil is not None
    drill.spoil(kind.spoil, kind.most)
    return drill.get(md5=drill.md5())


def always(fault: bad.Fault) -> Callable[[Drill, Kind], str]:
    """Every reply goes wrong in the same way."""

    def story(drill: Drill, kind: Kind) -> str:
        drill.injected = 1
        drill.site.faults = deque([fault] * 1000)
        return drill.get(md5=drill.md5(), retries=3)

    return story


def source_is(
    change: Callable[[bytes, random.Random], bytes], *, md5: bool | None = None
) -> Callable[[Drill, Kind], str]:
    """The file is wrong where it lies: with the MD5 of the right one in the table, or with none."""

    def story(drill: Drill, kind: Kind) -> str:
        drill.injected = 1
        table = drill.md5() if md5 is None else hashlib.md5(drill.content).hexdigest() if md5 else None
        drill.put(change(drill.content, drill.rng))
        return drill.get(md5=table)

    return story


def cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content))]


def damaged(content: bytes, rng: random.Random) -> bytes:
    while True:
        at = rng.randrange(len(content))
        wrong = content[:at] + bytes([content[at] ^ (1 + rng.randrange(255))]) + content[at + 1 :]
        if unpacked(wrong) != unpacked(content):
            return wrong


def longer(content: bytes, rng: random.Random) -> bytes:
    return content + bytes([1 + rng.randrange(255)]) + rng.randbytes(rng.randrange(1, 999))


def another(content: bytes, rng: random.Random) -> bytes:
    return reads(rng)


def replaced_between_runs(drill: Drill, kind: Kind) -> str:
    """The first run breaks, the file is replaced, the second run must bring the new one and nothing of the old."""
    drill.injected = 1
    drill.site.faults = deque([None] * drill.rng.randrange(1, 3) + [bad.drop] * 50)
    first = drill.get(retries=0)
    drill.site.faults = deque()
    if first != ABSENT:
        return f"first run: {first}"
    drill.put(reads(drill.rng))
    return drill.get()


def replaced_in_transfer(drill: Drill, kind: Kind) -> str:
    """The file is replaced while its parts are on the way."""
    drill.injected = 1
    new = reads(drill.rng)

    def swap(reply: bad.Reply, rng: random.Random) -> bad.Reply:
        drill.put(new)
        return bad.drop(reply, rng)

    drill.site.faults = deque([None] * drill.rng.randrange(1, 4) + [swap])
    return drill.get()


def rot_between_runs(drill: Drill, kind: Kind) -> str:
    """A byte of what came in the first run is another on the disk before the second."""
    drill.injected = 1
    drill.site.faults = deque([None] * 2 + [bad.drop] * 50)
    first = drill.get(retries=0)
    drill.site.faults = deque()
    part = drill.out.with_name(drill.out.name + ".part")
    if first == RIGHT:
        drill.injected = 0
        return RIGHT
    if first != ABSENT:
        return f"first run: {first}"
    content = bytearray(part.read_bytes())
    at = drill.rng.randrange(len(content))
    content[at] ^= 1 + drill.rng.randrange(255)
    with part.open("r+b") as handle:
        handle.write(content)
    return drill.get(md5=drill.md5())


def killed(drill: Drill, kind: Kind) -> str:
    """The process is killed (SIGKILL) at a random moment of the transfer; another one goes on."""
    drill.injected = 1
    drill.site.slow_s = 0.02
    code = (
        "import sys; from velocorpus.reads.fetch import parts; parts.NOTE_S = 0.0\n"
        "from velocorpus.config import FetchConfig; from velocorpus.reads.fetch.file import fetch\n"
        "how = FetchConfig(parallel=int(sys.argv[3]), s3_endpoint=sys.argv[4] or None)\n"
        f"fetch(sys.argv[1], sys.argv[2], how=how, part_bytes={PART_BYTES})\n"
    )
    endpoint = drill.site.address if drill.scheme == "s3" else ""
    words = [sys.executable, "-c", code, drill.source, str(drill.out), str(drill.parallel), endpoint]
    child = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    wanted = drill.rng.randrange(1, 2 + len(drill.content) // PART_BYTES)
    deadline = time.monotonic() + 20
    while len(drill.site.asked) < wanted and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(drill.rng.random() * 0.03)
    child.kill()
    child.wait()
    drill.site.slow_s = 0.0
    return drill.get(md5=drill.md5())


def two_at_once(drill: Drill, kind: Kind) -> str:
    """Two processes fetch the same file: one waits for the other."""
    drill.injected = 1
    ends: list[str] = []
    pair = [threading.Thread(target=lambda: ends.append(drill.get(md5=drill.md5()))) for _ in range(2)]
    for one in pair:
        one.start()
    for one in pair:
        one.join()
    if [path.name for path in drill.folder.iterdir()] != [drill.name]:
        return f"left behind: {list(drill.folder.iterdir())}"
    # The one that ended first may have seen the other's part.
    return RIGHT if all(end == RIGHT or end.startswith("left behind") for end in ends) else str(ends)


def no_version(drill: Drill, kind: Kind) -> str:
    """A server without ETag and date, or with a weak ETag: never resumed from, read in one go."""
    drill.site.keep(drill.name, drill.content, etag=drill.rng.choice(["", 'W/"weak"']))
    return spoiled(drill, kind)


def no_ranges(drill: Drill, kind: Kind) -> str:
    """A server that takes no ranges."""
    drill.site.keep(drill.name, drill.content, ranges=False)
    return spoiled(drill, kind)


KINDS = (
    Kind("connection dropped at a random byte", RIGHT, bad.drop),
    Kind("connection closed without an answer", RIGHT, bad.hang_up),
    Kind("silence in mid-body, longer than the timeout", RIGHT, bad.stall(1.5), most=1),
    Kind("a few bytes now and then", RIGHT, bad.trickle(0.05), most=1),
    Kind("a byte changed on the way", RIGHT, bad.wrong_byte, most=1),
    Kind("fewer bytes than asked for", RIGHT, bad.short_body),
    Kind("more bytes than asked for", RIGHT, bad.long_body),
    Kind("Content-Length too small", RIGHT, bad.length_too_small),
    Kind("Content-Length too large", RIGHT, bad.length_too_large),
    Kind("answer of another range", RIGHT, bad.wrong_range),
    Kind("answer of another version", RIGHT, bad.other_version),
    Kind("status 429 with Retry-After", RIGHT, bad.status(429, Retry_After="0")),
    Kind("status 500", RIGHT, bad.status(500)),
    Kind("status 503", RIGHT, bad.status(503)),
    Kind("status 403", ABSENT, bad.status(403), most=1),
    Kind("status 404", ABSENT, bad.status(404), most=1),
    Kind("a web page instead", ABSENT, bad.web_page, most=1, schemes=("http",)),
    Kind("status 503 for ever", ABSENT, story=always(bad.status(503))),
    Kind("drops for ever at the first bytes", ABSENT, story=always(lambda reply, rng: bad.replace(reply, cut=9))),
    Kind("file cut at its source", ABSENT, story=source_is(cut)),
    Kind("file damaged at its source", ABSENT, story=source_is(damaged)),
    Kind("bytes after the end at its source", ABSENT, story=source_is(longer)),
    Kind("another sound file at its source, MD5 known", ABSENT, story=source_is(another, md5=True)),
    Kind("file replaced between two runs", RIGHT, story=replaced_between_runs),
    Kind("file replaced in mid-transfer", RIGHT, story=replaced_in_transfer),
    Kind("part damaged on the disk between two runs", RIGHT, story=rot_between_runs),
    Kind("process killed (SIGKILL), run again", RIGHT, story=killed),
    Kind("two processes at once", RIGHT, story=two_at_once),
    Kind("no ETag or a weak one, and drops", RIGHT, bad.drop, story=no_version, schemes=("http",)),
    Kind("ranges not taken, and drops", RIGHT, bad.drop, story=no_ranges, schemes=("http",)),
)
