"""Hundreds of faults against `velocorpus fetch`: every file must end right, or absent with a reason.

    python -m tests.drills.fetch --faults 600 --seed 0

A local HTTP server, and one in front of moto's S3, misbehave (`misbehaving.py`) in every way of `fetch_faults.py`.
Prints one row a kind of fault, and fails when a wrong file was accepted, a good one refused, or anything else than a
refusal was raised.
"""

import argparse
import logging
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from unittest.mock import patch

from tests.drills import misbehaving as bad
from tests.drills.fetch_faults import ABSENT, KINDS, RIGHT, SCHEMES, Drill, Kind, spoiled

from velocorpus.reads.fetch import parts, s3


@dataclass
class Row:
    """What came of one kind of fault."""

    kind: Kind
    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


@contextmanager
def servers(seed: int) -> Iterator[dict[str, bad.Site]]:
    """A site of its own, and one in front of moto's S3."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "drill") | {"AWS_DEFAULT_REGION": "us-east-1"}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, keys))
        # Files here are small: notes and chunks must be too.
        stack.enter_context(patch.object(parts, "NOTE_S", 0.0))
        stack.enter_context(patch.object(s3, "CHUNK", 1 << 10))
        moto = ThreadedMotoServer(port=0, verbose=False)
        moto.start()
        stack.callback(moto.stop)
        os.environ["DRILL_S3"] = f"http://127.0.0.1:{moto.get_host_and_port()[1]}"
        import boto3

        boto3.client("s3", endpoint_url=os.environ["DRILL_S3"]).create_bucket(Bucket="reads")
        sites = {"http": bad.Site(seed), "s3": bad.Site(seed, behind=os.environ["DRILL_S3"])}
        for site in sites.values():
            stack.callback(site.close)
        yield sites


def drills(n_faults: int, seed: int, kinds: tuple[Kind, ...] = KINDS) -> list[Row]:
    """Rounds over all kinds of faults and both protocols until `n_faults` faults were injected."""
    rng, rows, said = random.Random(seed), [Row(kind) for kind in kinds], StringIO()
    with servers(seed) as sites, tempfile.TemporaryDirectory() as top, redirect_stderr(said):
        count = 0
        while sum(row.faults.total() for row in rows) < n_faults:
            for row in rows:
                for scheme in row.kind.schemes:
                    count += 1
                    folder = Path(top) / str(count)
                    folder.mkdir()
                    drill = Drill(scheme, sites, rng, folder)
                    end = (row.kind.story or spoiled)(drill, row.kind)
                    row.faults[scheme] += drill.injected
                    # A fault may have found no reply to spoil.
                    expected = row.kind.expected if drill.injected else RIGHT
                    row.ends[end if end == expected else f"UNEXPECTED: {end}"] += 1
    return rows


def table(rows: list[Row]) -> str:
    """Markdown: one row a kind of fault."""
    lines = [
        "| fault | HTTP | S3 | files right | files absent, with a reason | anything else |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        other = "; ".join(f"{n} × {end}" for end, n in row.ends.items() if end not in (RIGHT, ABSENT)) or "0"
        counts = f"{row.faults['http']} | {row.faults['s3']} | {row.ends[RIGHT]} | {row.ends[ABSENT]}"
        lines.append(f"| {row.kind.name} | {counts} | {other} |")
    total = [sum(row.faults[s] for row in rows) for s in SCHEMES] + [
        sum(row.ends[e] for row in rows) for e in (RIGHT, ABSENT)
    ]
    wrong = sum(n for row in rows for end, n in row.ends.items() if end not in (RIGHT, ABSENT))
    return "\n".join([*lines, f"| all ({sum(total[:2])} faults) | {' | '.join(map(str, total))} | {wrong} |"])


def main() -> None:
    """Run the drills and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=600, help="at least so many faults")
    parser.add_argument("--seed", type=int, default=0, help="chooses files, faults and places")
    args = parser.parse_args()
    rows = drills(args.faults, args.seed)
    print(table(rows))
    sys.exit(any(end not in (RIGHT, ABSENT) for row in rows for end in row.ends))


if __name__ == "__main__":
    main()
