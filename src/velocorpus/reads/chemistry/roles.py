"""Which file of a lane holds the barcodes, which the cDNA, which the sample index: told by what is in the reads.

File names only pair files into lanes, and only where the records' own names leave it open.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from velocorpus.reads.chemistries import CHEMISTRIES
from velocorpus.reads.chemistry.look import MAX_INDEX, MIN_CDNA, Look

# Read designators: `_R1_001`, `_I1_`, `_1.fastq`, and Cell Ranger 1's `read-RA`.
_DESIGNATOR = re.compile(r"(?:(?<=[_.-])|^)(?:read-)?(?:R[1-4A]|I[12]|[1-4])(?=[_.-]|$)")
_ENDING = re.compile(r"\.(fastq|fq)(\.gz)?$")


@dataclass(frozen=True)
class Lane:
    """The files of one lane by what they hold; `others` are what nothing was recognised in."""

    barcode: Look | None
    cdna: tuple[Look, ...]
    index: tuple[Look, ...]
    umi: Look | None
    others: tuple[Look, ...]

    @property
    def files(self) -> tuple[Look, ...]:
        """All of them."""
        return tuple(x for x in (self.barcode, self.umi, *self.cdna, *self.index, *self.others) if x is not None)

    def as_json(self) -> dict[str, Any]:
        """File names by role."""
        return {
            "barcode": self.barcode.name if self.barcode else None,
            "umi": self.umi.name if self.umi else None,
            "cdna": [look.name for look in self.cdna],
            "index": [look.name for look in self.index],
            "others": [look.name for look in self.others],
        }


def lanes_of(looks: Sequence[Look]) -> list[Lane]:
    """Files grouped into lanes: by their records' names, then by what of the file names is not a read's number."""
    by_spots: dict[tuple[str, int], list[Look]] = {}
    for look in looks:
        by_spots.setdefault((look.sample.spots, look.sample.n_seen), []).append(look)
    lanes = []
    for group in by_spots.values():
        if sum(look.best is not None for look in group) <= 1:
            lanes.append(group)
            continue
        # Archives name the spots of every run 1, 2, 3 when asked to: then lanes look alike.
        by_stem: dict[str, list[Look]] = {}
        for look in group:
            by_stem.setdefault(lane_stem(look.name), []).append(look)
        lanes += by_stem.values()
    return [roles_in(lane) for lane in lanes]


def lane_stem(name: str) -> str:
    """A file name without its last read designator and ending: equal for the files of one lane."""
    stem = _ENDING.sub("", name)
    found = list(_DESIGNATOR.finditer(stem))
    # `_001` is no designator; of several, the last letter-digit one is the read's.
    lettered = [match for match in found if not match[0].isdigit()] or found
    return stem if not lettered else stem[: lettered[-1].start()] + stem[lettered[-1].end() :]


def roles_in(looks: Sequence[Look]) -> Lane:
    """Give each file of a lane its role."""
    fitting = sorted((look for look in looks if look.best), key=_best_share, reverse=True)
    barcode = fitting[0] if fitting else None
    rest = [look for look in looks if look is not barcode]
    short = [look for look in rest if look.sample.length <= MAX_INDEX]
    index = [look for look in short if look.dominated]
    umi = None
    if barcode and barcode.best and barcode.best.name in CHEMISTRIES and CHEMISTRIES[barcode.best.name].umi_apart:
        umi = next((look for look in short if look not in index), None)
    cdna = [x for x in rest if x.sample.length >= MIN_CDNA and not x.best and not x.alternating]
    known = [*index, *cdna, umi]
    return Lane(barcode, tuple(cdna), tuple(index), umi, tuple(look for look in rest if look not in known))


def _best_share(look: Look) -> float:
    return look.fits[look.best.name].value if look.best else 0.0
