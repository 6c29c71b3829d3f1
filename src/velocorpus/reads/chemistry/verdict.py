"""What is said of a sample's reads: their chemistry with the evidence, or why it is unclear."""

from dataclasses import dataclass, field
from typing import Any, Literal

from velocorpus.reads.chemistry.roles import Lane

NOT_10X = "not_10x"
FETCH_INSTEAD = (
    "the technical reads were not deposited or not fetched: take the submitted files (ENA 'submitted_ftp', SRA "
    "'original format', often a 10x BAM), or run fasterq-dump --split-files --include-technical"
)


@dataclass(frozen=True)
class Verdict:
    """What the reads are.

    `chemistry`: a name of ours, or `not_10x`, or None; `candidates`: what it still could be. `unusable`: unclear, and
    no quantifier can use the files as they are, whatever the chemistry.
    """

    state: Literal["confident", "unclear"]
    chemistry: str | None
    library: str
    reasons: tuple[str, ...]
    candidates: tuple[str, ...] = ()
    organism: str | None = None
    strand: str | None = None
    unusable: bool = False
    lanes: tuple[Lane, ...] = ()
    evidence: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The verdict with its evidence, files without their folders."""
        shown = {key: value for key, value in vars(self).items() if key != "lanes"}
        files = {look.name: look.as_json() for lane in self.lanes for look in lane.files}
        return shown | {
            "lanes": [lane.as_json() for lane in self.lanes],
            "evidence": self.evidence | {"files": files},
        }


def unclear(reason: str, **more: Any) -> Verdict:
    """A verdict that names no chemistry."""
    return Verdict("unclear", None, "", (reason,), **more)
