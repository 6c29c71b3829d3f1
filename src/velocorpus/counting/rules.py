"""How a molecule becomes spliced, unspliced or ambiguous: velocyto's 10x logics as one table.

Each transcript that all reads of a molecule agree with says one thing about it, from the features that the
segments touch:

- exons only, introns only (validated or not), or
- both ("mixed"; with a validated intron or without), or
- both, with one segment across the boundary of a validated intron ("spanning").

What the agreeing transcripts say together is the molecule's evidence, and the first rule that fits decides. An
intron is validated when any unspliced read of a listed barcode spans its boundary with an exon.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

DISCARD, SPLICED, UNSPLICED, AMBIGUOUS = 0, 1, 2, 3


@dataclass(frozen=True)
class Evidence:
    """What the transcripts that agree with a molecule say; the fields' order is that of the bits in the table."""

    exons_only: bool  # some transcript has exons only
    introns_only: bool  # some transcript has introns only
    introns_only_validated: bool  # ... one of them validated
    mixed_validated: bool  # some transcript has both, no span, a validated intron
    mixed_unvalidated: bool  # some transcript has both, no span, no validated intron
    all_span: bool  # every transcript has a segment across a validated boundary
    single_match: bool  # one segment on one feature is all there is

    @property
    def mixed(self) -> bool:
        """Some transcript has exons and introns, without a span."""
        return self.mixed_validated or self.mixed_unvalidated


# The fields of `Evidence` as bits.
(
    EXONS_ONLY,
    INTRONS_ONLY,
    INTRONS_ONLY_VALIDATED,
    MIXED_VALIDATED,
    MIXED_UNVALIDATED,
    ALL_SPAN,
    SINGLE_MATCH,
) = (1 << i for i in range(len(fields(Evidence))))


@dataclass(frozen=True)
class Logic:
    """What one of velocyto's logics makes of the cases on which they differ: True counts, False discards."""

    validated_single: bool  # one match in a validated intron
    validated_several: bool  # several matches, one in a validated intron
    unvalidated_single: bool
    unvalidated_several: bool
    mixed_unvalidated: bool
    introns_and_mixed: int  # transcripts disagree: introns only, or both


LOGICS = {
    #                             validated    unvalidated  mixed  introns and mixed
    "permissive10x": Logic(True, True, True, True, True, UNSPLICED),
    "intermediate10x": Logic(True, True, False, True, False, AMBIGUOUS),
    "validatedintrons10x": Logic(True, True, False, False, False, AMBIGUOUS),
    "stricter10x": Logic(False, True, False, False, False, AMBIGUOUS),
    "observedspanning10x": Logic(False, False, False, False, False, AMBIGUOUS),
}
VELOCYTO_NAMES = {
    "permissive10x": "Permissive10X",
    "intermediate10x": "Intermediate10X",
    "validatedintrons10x": "ValidatedIntrons10X",
    "stricter10x": "Stricter10X",
    "observedspanning10x": "ObservedSpanning10X",
}

Rule = tuple[Callable[[Evidence], bool], Callable[[Evidence, Logic], int]]


def _counted(allowed: bool) -> int:
    return UNSPLICED if allowed else DISCARD


RULES: tuple[Rule, ...] = (
    # Transcripts that span do not count against exons, but they cannot meet: a segment across a boundary touches one
    # feature more in them than in a transcript with exons only, which is then not among the best.
    (lambda e: e.exons_only and not e.introns_only and not e.mixed, lambda e, logic: SPLICED),
    (lambda e: e.all_span, lambda e, logic: UNSPLICED),
    (
        lambda e: e.introns_only_validated and not e.mixed and not e.exons_only,
        lambda e, logic: _counted(logic.validated_single if e.single_match else logic.validated_several),
    ),
    (
        lambda e: e.introns_only and not e.mixed and not e.exons_only,
        lambda e, logic: _counted(logic.unvalidated_single if e.single_match else logic.unvalidated_several),
    ),
    (
        lambda e: e.mixed_unvalidated and not e.mixed_validated and not e.introns_only and not e.exons_only,
        lambda e, logic: _counted(logic.mixed_unvalidated),
    ),
    (lambda e: e.mixed_validated and not e.introns_only and not e.exons_only, lambda e, logic: UNSPLICED),
    (lambda e: e.introns_only and not e.exons_only and e.mixed, lambda e, logic: logic.introns_and_mixed),
    # What is left has a transcript with exons only, and one that contradicts it.
    (lambda e: e.exons_only and (e.introns_only or e.mixed), lambda e, logic: AMBIGUOUS),
)


def decide(evidence: Evidence, logic: Logic) -> int:
    """DISCARD, SPLICED, UNSPLICED or AMBIGUOUS: the first rule that fits."""
    for fits, outcome in RULES:
        if fits(evidence):
            return outcome(evidence, logic)
    return DISCARD


def decision_table(logic: Logic) -> np.ndarray:
    """`decide` for every evidence, uint8: bit i of the index is field i of `Evidence`."""
    n_bits = len(fields(Evidence))
    return np.array(
        [decide(Evidence(*[bool(code >> bit & 1) for bit in range(n_bits)]), logic) for code in range(1 << n_bits)],
        dtype=np.uint8,
    )
