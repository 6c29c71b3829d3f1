"""Is `velocorpus chemistry` ever wrong with confidence? Simulated libraries of every kind, damaged in every way.

    python tests/drills/chemistry.py [--reads 200 1000 ...] [--errors 0 0.01 ...] [--seeds 1] [--json FILE]

Prints the confusion table, what was decided at each number of reads and each error rate, and what a check against wrong
tables (`--expect`) refuses. Exits with 1 when a verdict was wrong.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from velocorpus.reads.chemistry.barcode_lists import BarcodeList, known_lists
from velocorpus.reads.chemistry.contradiction import contradiction
from velocorpus.reads.chemistry.detect import detect
from velocorpus.reads.chemistry.look import Look
from velocorpus.reads.chemistry.roles import roles_in
from velocorpus.reads.chemistry.sampling import ReadSample
from velocorpus.reads.chemistry.verdict import NOT_10X, Verdict
from velocorpus.simulate.libraries import KINDS, TENX, Species, make_library, two_species

READS = (200, 1000, 50_000)
ERRORS = (0.0, 0.01, 0.05)
# What `velocorpus chemistry` looks at by default in each of three files, however many reads there are.
LOOKED_AT = 13_333
# What is done to a library; `whole` is not damaged, and has both species' references.
DAMAGES = (
    "whole",
    "long_read1",
    "other_reference",
    "no_reference",
    "no_barcodes",
    "no_cdna",
    "cut_read1",
    "shifted",
    "turned",
    "two_chemistries",
)
READ_1_AND_2 = (("barcode", "read1"), ("cdna", "read2"))
UNUSABLE = ("no_barcodes", "no_cdna", "cut_read1", "shifted", "turned", "two_chemistries")


class Drill:
    """Lists, species and references that all cases share."""

    def __init__(self, seed: int, lists: list[BarcodeList] | None = None) -> None:
        rng = np.random.default_rng(seed)
        known = lists or known_lists({})
        own = BarcodeList("10xv3_5p", 16, np.unique(rng.integers(0, 4**16, 500_000, dtype=np.uint64)))
        self.lists = {one.name: one for one in [*known, own]}
        self.species: tuple[Species, Species] = two_species(rng)
        self.indices = [one.index() for one in self.species]
        self.rng = rng

    def library(self, kind: str, n: int, error: float, **more: int | None) -> dict[str, np.ndarray]:
        return make_library(kind, n, species=self.species[0], lists=self.lists, error=error, rng=self.rng, **more)

    def looks(self, files: dict[str, np.ndarray], lane: str, references: list) -> dict[str, Look]:
        """Files by role in any order, under names that say nothing of it."""
        roles = list(files)
        self.rng.shuffle(roles)
        found = {}
        for number, role in enumerate(roles, 1):
            codes = files[role][:LOOKED_AT]
            lengths = np.full(len(codes), codes.shape[1])
            sample = ReadSample(Path(f"{lane}_{number}.fastq.gz"), codes, lengths, len(files[role]), lane)
            found[role] = Look(sample, list(self.lists.values()), references)
        return found

    def case(self, kind: str, n: int, error: float, damage: str) -> tuple[Verdict, dict[str, Look]]:
        """The verdict on one damaged library, and its files by what they truly are."""
        references = {"no_reference": [], "other_reference": self.indices[1:]}.get(damage, self.indices)
        read1_len = 150 if damage == "long_read1" else None
        files = self.library(kind, n, error, read1_len=read1_len)
        if damage == "no_barcodes":
            files.pop("barcode", None)
        if damage == "no_cdna":
            files.pop("cdna", None)
        if "barcode" in files and damage in ("cut_read1", "shifted", "turned"):
            barcode = files["barcode"]
            files["barcode"] = {
                "cut_read1": barcode[:, : barcode.shape[1] - 2],
                "shifted": np.concatenate([barcode[:, -3:], barcode], axis=1),
                "turned": 3 - barcode[:, ::-1],
            }[damage]
        looks = self.looks(files, "run1", references)
        if damage == "two_chemistries":
            other = next(x for x in ("10xv2", "10xv3") if x != kind)
            more = self.looks(self.library(other, n, error), "run2", references)
            return detect([*looks.values(), *more.values()]), looks
        return detect(list(looks.values())), looks

    def refusals(self, looks: dict[str, Look]) -> dict[str, bool]:
        """Whether a check refuses these files, under each chemistry that tables could call them."""
        pair = tuple(looks[next(role for role in roles if role in looks)] for roles in READ_1_AND_2)
        verdict = detect(pair, [roles_in(pair)])
        return {
            declared: contradiction(verdict, [pair], chemistry=declared, organism="human", min_mapped=0.02) is not None
            for declared in TENX
        }


def is_wrong(kind: str, damage: str, verdict: Verdict) -> bool:
    """Whether a confident verdict says what is not so."""
    if verdict.state != "confident":
        return False
    truth = kind if kind in TENX else NOT_10X
    usable = damage not in UNUSABLE or (truth == NOT_10X and damage != "two_chemistries")
    return not usable or verdict.chemistry != truth or verdict.organism not in (None, "human")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reads", type=int, nargs="+", default=READS)
    parser.add_argument("--errors", type=float, nargs="+", default=ERRORS)
    parser.add_argument("--kinds", nargs="+", default=KINDS)
    parser.add_argument("--damages", nargs="+", default=DAMAGES)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for seed in range(options.seeds):
        drill = Drill(seed)
        for kind in options.kinds:
            for damage in options.damages:
                for n in options.reads:
                    for error in options.errors:
                        verdict, looks = drill.case(kind, n, error, damage)
                        said = verdict.chemistry if verdict.state == "confident" else "unclear"
                        refused = drill.refusals(looks) if damage in ("whole", "long_read1") else {}
                        wrong = is_wrong(kind, damage, verdict)
                        rows.append(
                            {"kind": kind, "damage": damage, "n": n, "error": error, "said": said, "wrong": wrong}
                            | {"organism": verdict.organism, "refused": refused, "why": verdict.reasons[0]}
                        )
                        if wrong:
                            print("WRONG", rows[-1], file=sys.stderr)
            print(f"{kind}: {sum(row['kind'] == kind for row in rows)} cases", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    show(rows)
    return int(any(row["wrong"] for row in rows))


def show(rows: list[dict]) -> None:
    """The tables, as Markdown."""
    columns = [*TENX, NOT_10X, "unclear"]
    usable = [row for row in rows if row["damage"] not in UNUSABLE]
    for title, some in (
        ("Usable libraries (whole, longer read 1, another or no reference)", usable),
        ("Damaged ones", [row for row in rows if row not in usable]),
    ):
        print(f"\n{title}: {len(some)} cases, {sum(row['wrong'] for row in some)} wrong with confidence\n")
        table(some, "kind", "said", [c for c in columns if any(row["said"] == c for row in some)])
    print("\nDecided, of whole libraries and those with a longer read 1:\n")
    whole = [row for row in rows if row["damage"] in ("whole", "long_read1") and row["kind"] != "unlisted"]
    errors = sorted({row["error"] for row in whole})
    print("| reads | " + " | ".join(f"errors {error:.0%}" for error in errors) + " |\n|" + "---|" * (len(errors) + 1))
    for n in sorted({row["n"] for row in whole}):
        cells = []
        for error in errors:
            some = [row for row in whole if row["n"] == n and row["error"] == error]
            cells.append(f"{sum(row['said'] != 'unclear' for row in some)} of {len(some)}" if some else "")
        print(f"| {n:,} | " + " | ".join(cells) + " |")
    print("\nA check against the tables (`--expect`) refuses, of whole libraries and those with a longer read 1:\n")
    print("| library | its own chemistry | another one |\n|---|---|---|")
    for kind in dict.fromkeys(row["kind"] for row in whole):
        some = [row["refused"] for row in whole if row["kind"] == kind]
        own = [one[kind] for one in some if kind in one]
        other = [refused for one in some for name, refused in one.items() if name != kind]
        print(f"| {kind} | {f'{sum(own)} of {len(own)}' if own else ''} | {sum(other)} of {len(other)} |")


def table(rows: list[dict], down: str, across: str, columns: list[str]) -> None:
    print(f"| {down} | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for name in dict.fromkeys(row[down] for row in rows):
        counts = Counter(row[across] for row in rows if row[down] == name)
        print(f"| {name} | " + " | ".join(str(counts[column] or "") for column in columns) + " |")


if __name__ == "__main__":
    sys.exit(main())
