"""Hundreds of faults against `velocorpus corpus publish` and `pull`: no object lost or wrong, no reader misled.

    python -m tests.drills.publish --faults 300 --seed 0

A server in front of moto's S3 loses, cuts and changes requests and answers (`misbehaving.py`); processes are killed
(SIGKILL) at a random request and run again; objects and files are damaged between two runs. After every run the bucket
must show a version as it was published, or nothing; after the last one all of it, with no upload left open, and what
is pulled must equal what was published. Prints one row a kind of fault; fails when anything else came of one.
"""

import argparse
import hashlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.drills import misbehaving as bad
from tests.unit.corpus.corpus_makers import HUMAN, MOUSE, make_corpus, make_counts

from velocorpus.config import FetchConfig
from velocorpus.corpus.changing.samples import add
from velocorpus.corpus.plan import Splits
from velocorpus.corpus.sharing.claim import CLAIM_FILE
from velocorpus.corpus.sharing.publish import publish
from velocorpus.corpus.sharing.pull import pull
from velocorpus.corpus.verify import verify
from velocorpus.errors import UserMistake
from velocorpus.reads.fetch import s3

PART_BYTES = 4 << 10
RIGHT, REFUSED = "right", "refused, nothing changed"
PART = {"study": ["study_a"]}


@dataclass
class World:
    """moto, the server in front of it, and corpora: two versions of one, another one, and a part of the first."""

    site: bad.Site
    client: Any
    bucket: Any
    env: dict[str, str]
    folder: Path
    corpora: dict[str, Path]

    def value(self, key: str) -> bytes | None:
        """The bytes of an object now, from moto's own memory."""
        while True:
            one = self.bucket.keys.get(key)
            try:
                return None if one is None else one.value
            except ValueError:  # replaced this very moment
                continue

    def objects(self, prefix: str) -> dict[str, bytes]:
        """All objects of a folder."""
        found = {key.removeprefix(prefix): self.value(key) for key in self.bucket.keys if key.startswith(prefix)}
        return {name: value for name, value in found.items() if value is not None}

    def shown(self, prefix: str) -> str:
        """Which corpus a reader sees: `none`, `v1`, `v2`, `other`, or what is wrong."""
        manifest = self.value(f"{prefix}manifest.json")
        if manifest is None:
            return "none"
        # In a reader's order: what the manifest names must be there when it has been read.
        value = json.loads(manifest)
        for entry in (*value["shards"], *value["files"].values()):
            if hashlib.sha256(self.value(prefix + entry["path"]) or b"").hexdigest() != entry["sha256"]:
                return f"WRONG OBJECT {entry['path']}"
        known = {(folder / "manifest.json").read_bytes(): name for name, folder in self.corpora.items()}
        return known.get(manifest, "AN UNKNOWN MANIFEST")

    def uploads(self, prefix: str) -> int:
        """Uploads in parts that were left open."""
        return sum(one.key_name.startswith(prefix) for one in list(self.bucket.multiparts.values()))


class Drill:
    """One folder of the bucket, and one of the disk."""

    def __init__(self, world: World, rng: random.Random, number: int):
        self.world, self.rng, self.site = world, rng, world.site
        self.prefix, self.out = f"d{number}/", world.folder / f"d{number}"
        self.address = f"s3://corpora/d{number}"
        self.site.faults, self.site.sent_faults, self.site.slow_s = deque(), deque(), 0.0
        self.injected = 0
        self.before = "none"

    def how(self, retries: int = 6) -> FetchConfig:
        parallel = self.rng.randrange(1, 5)
        return FetchConfig(s3_endpoint=self.site.address, parallel=parallel, retries=retries, timeout_s=5.0)

    def start(self, version: str) -> None:
        """A version that lies there already."""
        self.before = version
        self.publish(version)

    def publish(self, version: str, retries: int = 6, **more: Any) -> str:
        """Publish; what a reader sees, or how it was refused."""
        folder, how = self.world.corpora[version], self.how(retries)
        try:
            publish(folder, self.address, how=how, wait_s=0.001, part_bytes=PART_BYTES, **more)
        except UserMistake:
            shown = self.world.shown(self.prefix)
            return REFUSED if shown in (self.before, version) else f"refused and left {shown}"
        shown = self.world.shown(self.prefix)
        left = self.world.uploads(self.prefix)
        return shown if not left else f"{left} uploads left open"

    def pull(self, version: str, retries: int = 6, where: Any = None) -> str:
        """Pull; whether it equals what was published."""
        try:
            pull(self.address, self.out, how=self.how(retries), where=where, wait_s=0.001, part_bytes=PART_BYTES)
        except UserMistake:
            return REFUSED if not self.out.exists() else "refused and left files"
        if where is not None:
            faults = verify(self.out)
            return RIGHT if not faults and same(self.out, self.world.corpora["part"]) else f"A WRONG PART {faults}"
        if not same(self.out, self.world.corpora[version], but=("README.md", "studies.tsv")):
            return "ANOTHER CORPUS"
        there = {name: content for name, content in self.world.objects(self.prefix).items() if name != CLAIM_FILE}
        return RIGHT if files_of(self.out) == there else "NOT WHAT IS THERE"

    def ends(self, version: str, got: str) -> str:
        """How a publishing ended that must show `version`, and pulls as it."""
        if got != version:
            return f"publish: {got}"
        return self.pull(version)

    def spoil(self, reply: bad.Fault | None, sent: bad.SentFault | None, n_requests: int) -> None:
        """Spoil up to four of the next requests."""
        where = set(self.rng.sample(range(n_requests), k=self.rng.randrange(1, 5)))

        def counted(fault: Any) -> Any:
            def spoiled(*words: Any) -> Any:
                self.injected += 1
                return fault(*words)

            return spoiled

        faults = [i in where for i in range(n_requests)]
        self.site.faults = deque(counted(reply) if reply and f else None for f in faults)
        self.site.sent_faults = deque(counted(sent) if sent and f else None for f in faults)

    def calm(self) -> None:
        self.site.faults, self.site.sent_faults, self.site.slow_s = deque(), deque(), 0.0

    def kill(self, what: str, version: str, where: Any = None) -> None:
        """Run in a process of its own and kill it at a random request."""
        self.site.slow_s, asked = 0.01, len(self.site.asked)
        words = (self.world.env, what, str(self.world.corpora[version]), self.address, str(self.out), where)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__ if __name__ != "__main__" else "tests.drills.publish"])
        child = context.Process(target=run_child, args=(*words, self.how()))
        child.start()
        wanted, deadline = self.rng.randrange(1, 40), time.monotonic() + 30
        while len(self.site.asked) < asked + wanted and child.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(self.rng.random() * 0.02)
        # One that has ended by itself was not killed, and must have ended well.
        self.injected += child.is_alive()
        child.kill()
        child.join()
        if child.exitcode not in (0, -signal.SIGKILL):
            raise RuntimeError(f"the process to be killed ended with {child.exitcode}")
        child.close()
        self.site.slow_s = 0.0


def run_child(
    env: dict[str, str], what: str, folder: str, address: str, out: str, where: Any, how: FetchConfig
) -> None:
    """What is killed."""
    os.environ.update(env)
    sys.stderr = StringIO()
    if what == "publish":
        publish(folder, address, how=how, part_bytes=PART_BYTES)
    else:
        pull(address, out, how=how, where=where, part_bytes=PART_BYTES)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same(one: Path, other: Path, but: tuple[str, ...] = ()) -> bool:
    a, b = ({k: v for k, v in files_of(folder).items() if k not in but} for folder in (one, other))
    return a == b


@dataclass
class Kind:
    """A kind of fault and the story in which it happens."""

    name: str
    story: Callable[[Drill], str]


def publishing(reply: bad.Fault | None = None, sent: bad.SentFault | None = None) -> Callable[[Drill], str]:
    """Requests of a first publishing, or of a second version's, go wrong; the tries must make up for it."""

    def story(drill: Drill) -> str:
        if drill.rng.random() < 0.5:
            drill.start("v1")
        drill.spoil(reply, sent, 36)
        got = drill.publish("v2")
        drill.calm()
        return drill.ends("v2", got)

    return story


def publishing_refused(fault: bad.Fault, most: int) -> Callable[[Drill], str]:
    """From a random request on the store refuses; later it does not."""

    def story(drill: Drill) -> str:
        drill.start("v1")
        drill.injected = 1
        drill.site.faults = deque([None] * drill.rng.randrange(25) + [fault] * most)
        got = drill.publish("v2", retries=1)
        drill.calm()
        if got not in (REFUSED, "v2"):
            return f"first: {got}"
        return drill.ends("v2", drill.publish("v2"))

    return story


def publishing_killed(drill: Drill) -> str:
    """Killed one to three times, then let be."""
    if drill.rng.random() < 0.5:
        drill.start("v1")
    for _ in range(drill.rng.randrange(1, 4)):
        drill.kill("publish", "v2")
        shown = drill.world.shown(drill.prefix)
        if shown not in (drill.before, "v2"):
            return f"killed: {shown}"
    return drill.ends("v2", drill.publish("v2"))


def watched(drill: Drill) -> str:
    """A reader looks all the while that a second version is published over broken connections."""
    drill.start("v1")
    drill.spoil(bad.drop, None, 36)
    seen: Counter[str] = Counter()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            seen[drill.world.shown(drill.prefix)] += 1

    reader = threading.Thread(target=look)
    reader.start()
    got = drill.publish("v2")
    over.set()
    reader.join()
    drill.calm()
    return drill.ends("v2", got) if set(seen) <= {"v1", "v2"} else f"seen: {dict(seen)}"


def spoiled_there(damage: Callable[[bytes, random.Random], bytes | None]) -> Callable[[Drill], str]:
    """An object is damaged or deleted where it lies: a pull refuses, publishing again mends it."""

    def story(drill: Drill) -> str:
        drill.start("v1")
        drill.injected = 1
        objects = {
            k: v for k, v in drill.world.objects(drill.prefix).items() if k.startswith(("shards/", "manifests/"))
        }
        name = drill.rng.choice(sorted(objects))
        content, key = damage(objects[name], drill.rng), drill.prefix + name
        if content is None:
            drill.world.client.delete_object(Bucket="corpora", Key=key)
        else:
            drill.world.client.put_object(Bucket="corpora", Key=key, Body=content)
        # The newest version's own manifest is only fetched with the rest.
        pulled = drill.pull("v1")
        if pulled != REFUSED:
            return f"pulled: {pulled}"
        return drill.ends("v1", drill.publish("v1"))

    return story


def broken_here(drill: Drill) -> str:
    """A broken corpus is not published."""
    drill.start("v1")
    drill.injected = 1
    folder = drill.world.folder / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(drill.world.corpora["v2"], folder)
    path = drill.rng.choice([p for p in sorted(folder.rglob("*")) if p.is_file()])
    path.write_bytes(damaged(path.read_bytes(), drill.rng))
    before = drill.world.objects(drill.prefix)
    with patch.dict(drill.world.corpora, {"broken": folder}):
        got = drill.publish("broken")
    if got != REFUSED or drill.world.objects(drill.prefix) != before:
        return f"broken: {got}"
    return drill.ends("v1", "v1")


def at_once(first: str, second: str) -> Callable[[Drill], str]:
    """Two publish to one place: what is there at the end is one of them, whole; the other was refused, or is it."""

    def story(drill: Drill) -> str:
        drill.injected = 1
        got: dict[int, str] = {}

        def one(i: int, version: str) -> None:
            try:
                publish(
                    drill.world.corpora[version], drill.address, how=drill.how(), wait_s=0.001, part_bytes=PART_BYTES
                )
                got[i] = version
            except UserMistake:
                got[i] = REFUSED

        pair = [threading.Thread(target=one, args=words) for words in enumerate((first, second))]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
        shown = drill.world.shown(drill.prefix)
        # A version that another one overtook on its way is for that one to end.
        shown = second if shown == "none" or second in got.values() or first == "v1" else shown
        return drill.ends(shown, drill.publish(shown)) if shown in (first, second) else f"{got} and {shown}"

    return story


def pulling(reply: bad.Fault, where: Any = None) -> Callable[[Drill], str]:
    """Answers go wrong while a corpus is pulled."""

    def story(drill: Drill) -> str:
        drill.start("v2")
        drill.spoil(reply, None, 24)
        got = drill.pull("v2", where=where)
        drill.calm()
        return got

    return story


def pulling_refused(fault: bad.Fault, most: int) -> Callable[[Drill], str]:
    """From a random request on the store refuses; later it does not."""

    def story(drill: Drill) -> str:
        drill.start("v2")
        drill.injected = 1
        drill.site.faults = deque([None] * drill.rng.randrange(15) + [fault] * most)
        got = drill.pull("v2", retries=1)
        drill.calm()
        if got not in (REFUSED, RIGHT):
            return f"first: {got}"
        shutil.rmtree(drill.out, ignore_errors=True)
        return drill.pull("v2")

    return story


def pulling_killed(where: Any, *, rot: bool = False) -> Callable[[Drill], str]:
    """Killed once or twice, then let be; `rot`: a byte of what came is another by then."""

    def story(drill: Drill) -> str:
        drill.start("v2")
        for _ in range(drill.rng.randrange(1, 3)):
            drill.kill("pull", "v2", where)
            if drill.out.exists():
                return drill.pull("v2", where=where)
        work = drill.out.with_name(drill.out.name + ".part")
        came = [p for p in sorted(work.rglob("*.feather*")) if p.is_file() and p.stat().st_size and p.suffix != ".json"]
        if rot and came:
            drill.injected += 1
            path = drill.rng.choice(came)
            path.write_bytes(damaged(path.read_bytes(), drill.rng))
        return drill.pull("v2", where=where)

    return story


def moved_on(drill: Drill) -> str:
    """A second version is published while the first is pulled: one of them comes, whole."""
    drill.start("v1")
    drill.injected = 1
    drill.site.slow_s = 0.005
    other = threading.Thread(target=drill.publish, args=("v2",))
    other.start()
    time.sleep(drill.rng.random() * 0.3)
    try:
        pull(drill.address, drill.out, how=drill.how(), wait_s=0.001, part_bytes=PART_BYTES)
    except UserMistake as mistake:
        return f"refused: {mistake}"
    finally:
        other.join()
        drill.site.slow_s = 0.0
    for version in ("v1", "v2"):
        if same(drill.out, drill.world.corpora[version], but=("README.md", "studies.tsv")):
            return drill.pull("v2")
    return "A MIXTURE"


def damaged(content: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 + rng.randrange(255))]) + content[at + 1 :]


KINDS = (
    Kind("publish: request lost", publishing(sent=bad.never_sent)),
    Kind("publish: request cut", publishing(sent=bad.sent_short)),
    Kind("publish: a byte of the request changed", publishing(sent=bad.sent_wrong)),
    Kind("publish: done, but the answer lost", publishing(bad.hang_up)),
    Kind("publish: answer cut", publishing(bad.drop)),
    Kind("publish: status 500", publishing(bad.status(500))),
    Kind("publish: status 503", publishing(bad.status(503))),
    Kind("publish: status 403 from a random request on, then again", publishing_refused(bad.status(403), 999)),
    Kind("publish: status 503 from a random request on, then again", publishing_refused(bad.status(503), 999)),
    Kind("publish: process killed one to three times, then again", publishing_killed),
    Kind("publish: watched by a reader over broken connections", watched),
    Kind("publish: object damaged in the bucket", spoiled_there(damaged)),
    Kind("publish: object deleted in the bucket", spoiled_there(lambda content, rng: None)),
    Kind("publish: a byte of the corpus changed on the disk", broken_here),
    Kind("publish: the same corpus twice at once", at_once("v2", "v2")),
    Kind("publish: two versions at once", at_once("v1", "v2")),
    Kind("publish: two corpora at once", at_once("v2", "other")),
    Kind("pull: answer lost", pulling(bad.hang_up)),
    Kind("pull: answer cut", pulling(bad.drop)),
    Kind("pull: a byte changed on the way", pulling(bad.wrong_byte)),
    Kind("pull: fewer bytes than asked for", pulling(bad.short_body)),
    Kind("pull: more bytes than asked for", pulling(bad.long_body)),
    Kind("pull: status 500", pulling(bad.status(500))),
    Kind("pull: status 503", pulling(bad.status(503))),
    Kind("pull of a part: answer cut", pulling(bad.drop, PART)),
    Kind("pull: status 403 from a random request on, then again", pulling_refused(bad.status(403), 999)),
    Kind("pull: status 503 from a random request on, then again", pulling_refused(bad.status(503), 999)),
    Kind("pull: process killed once or twice, then again", pulling_killed(None)),
    Kind("pull: killed, and a byte of what came changed on the disk", pulling_killed(None, rot=True)),
    Kind("pull of a part: process killed once or twice, then again", pulling_killed(PART)),
    Kind("pull: the next version published meanwhile", moved_on),
)


@dataclass
class Row:
    """What came of one kind of fault."""

    kind: Kind
    faults: int = 0
    ends: Counter[str] = field(default_factory=Counter)


@contextmanager
def worlds(seed: int) -> Iterator[World]:
    """The servers and the corpora."""
    import boto3
    from moto.backends import get_backend
    from moto.s3 import models
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    env = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "drill") | {"AWS_DEFAULT_REGION": "us-east-1"}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, env))
        # Shards here are small: so must parts and chunks be.
        stack.enter_context(patch.object(models, "S3_UPLOAD_PART_MIN_SIZE", 1))
        stack.enter_context(patch.object(s3, "CHUNK", 1 << 10))
        moto = ThreadedMotoServer(port=0, verbose=False)
        moto.start()
        stack.callback(moto.stop)
        address = f"http://127.0.0.1:{moto.get_host_and_port()[1]}"
        client = boto3.client("s3", endpoint_url=address)
        client.create_bucket(Bucket="corpora")
        site = bad.Site(seed, behind=address)
        stack.callback(site.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bucket = get_backend("s3")["123456789012"]["aws"].buckets["corpora"]
        world = World(site, client, bucket, env, folder, corpora(folder))
        Drill(world, random.Random(seed), -1).start("v2")
        pull("s3://corpora/d-1", folder / "part", where=PART, how=FetchConfig(s3_endpoint=address))
        world.corpora["part"] = folder / "part"
        yield world


def corpora(folder: Path) -> dict[str, Path]:
    """A corpus of three samples, its second version with a fourth, and another corpus with shards of the same names."""
    counts = {
        s: make_counts(folder / "in", s, seed=ord(s), n_cells=20, genes=MOUSE if s == "m" else HUMAN) for s in "abmo"
    }
    made = {name: folder / name for name in ("v1", "v2", "other")}
    make_corpus(made["v1"], [counts[s] for s in "abm"], splits=Splits(("study_b",), ()), group_samples=2)
    shutil.copytree(made["v1"], made["v2"])
    add(made["v2"], [counts["o"]], samples={}, group_samples=2)
    make_corpus(made["other"], [counts[s] for s in "om"], group_samples=2)
    return made


def drills(n_faults: int, seed: int, kinds: tuple[Kind, ...] = KINDS) -> list[Row]:
    """Rounds over all kinds of faults until `n_faults` were injected."""
    rng, rows, count = random.Random(seed), [Row(kind) for kind in kinds], 0
    with redirect_stderr(StringIO()), worlds(seed) as world:
        while sum(row.faults for row in rows) < n_faults:
            for row in rows:
                count += 1
                drill = Drill(world, rng, count)
                try:
                    end = row.kind.story(drill)
                except Exception as error:
                    end = f"{type(error).__name__}: {error}"
                row.faults += drill.injected
                row.ends[end if end == RIGHT else f"UNEXPECTED (drill {count}): {end}"] += 1
                shutil.rmtree(drill.out, ignore_errors=True)
    return rows


def table(rows: list[Row]) -> str:
    """Markdown: one row a kind of fault."""
    lines = ["| fault | faults | runs | right in the end | anything else |", "|---|---|---|---|---|"]
    for row in rows:
        other = "; ".join(f"{n} × {end}" for end, n in row.ends.items() if end != RIGHT) or "0"
        lines.append(f"| {row.kind.name} | {row.faults} | {row.ends.total()} | {row.ends[RIGHT]} | {other} |")
    total = [sum(row.faults for row in rows), sum(r.ends.total() for r in rows), sum(r.ends[RIGHT] for r in rows)]
    return "\n".join([*lines, f"| all | {' | '.join(map(str, total))} | {total[1] - total[2]} |"])


def main() -> None:
    """Run the drills and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=300, help="at least so many faults")
    parser.add_argument("--seed", type=int, default=0, help="chooses faults, places and moments")
    parser.add_argument("--only", default="", help="kinds with this in their names")
    args = parser.parse_args()
    rows = drills(args.faults, args.seed, tuple(kind for kind in KINDS if args.only in kind.name))
    print(table(rows))
    sys.exit(any(end != RIGHT for row in rows for end in row.ends))


if __name__ == "__main__":
    main()
