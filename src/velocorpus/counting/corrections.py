"""Where velocyto can be corrected, one thing at a time; none of it is done unless it is asked for.

`velocorpus count` equals velocyto 0.17.17, oddities included. Each correction here undoes one of them. What each does
to the counts, and to their distance from the truth, is in docs/counting.md.
"""

from collections.abc import Iterable

from velocorpus.errors import UserMistake

VELOCYTO, NONE = "velocyto", "none"
SOFT_CLIP, CHROMOSOME_NAMES, LONG_SPAN, LONG_INTRON = "soft_clip", "chromosome_names", "long_span", "long_intron"
TOUCHING_EXONS, FLAGS, ODD_UMIS, MASK = "touching_exons", "flags", "odd_umis", "mask"

CORRECTIONS = {
    SOFT_CLIP: "a leading soft clip does not shift a read downstream",
    CHROMOSOME_NAMES: "chromosomes meet by their exact names first, so that chrM meets chrM",
    LONG_SPAN: "reads that span more than 3 Mb count",
    LONG_INTRON: "a transcript with an intron over 1 Mb keeps what is upstream of it",
    TOUCHING_EXONS: "exons that touch have no intron of length 0 between them",
    FLAGS: "secondary, supplementary, duplicate and failed alignments do not count",
    ODD_UMIS: "reads whose UMI has other letters than A, C, G and T, or is STARsolo's `-`, do not count",
    MASK: "the repeat mask is taken as it is written",
}


def chosen_corrections(compat: str, names: Iterable[str]) -> frozenset[str]:
    """The corrections of these names, or all with `compat` none; `UserMistake` for what does not exist."""
    if compat not in (VELOCYTO, NONE):
        raise UserMistake(f"--compat {compat} is not a choice; allowed: {VELOCYTO}, {NONE} (all corrections).")
    wanted = frozenset(CORRECTIONS) if compat == NONE else frozenset(names)
    if unknown := sorted(wanted - set(CORRECTIONS)):
        raise UserMistake(f"--correct {unknown[0]} is not a correction; allowed: {', '.join(CORRECTIONS)}.")
    return wanted
