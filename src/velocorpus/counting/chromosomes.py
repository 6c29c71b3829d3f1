"""Which chromosome of the GTF each reference of a BAM is.

By default names are folded as velocyto folds them: `chr` does not matter, `chrM` of the BAM becomes `MT`, but that of
the GTF `M`. `exact_names` is the correction: a name that stands in both meets itself, so that `chrM` meets `chrM` and
`chr1_KI270706v1_random` itself; only what nothing matches exactly is folded, and only where that leaves no doubt.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import TranscriptModels

# References of several genomes in one, as 10x names them: GRCh38_chr1, mm10___chr1, hg19_1.
_OF_GENOME = re.compile(r"(\w*?[^\W_])_+(?:chr)?(?:\d+|X|Y|MT?)")
N_NAMED = 5  # names that a note or a refusal lists


@dataclass(frozen=True, eq=False)
class Placed:
    """Per reference of a BAM its chromosome c in the GTF, or -1; a read's group is 2c, on the minus strand 2c + 1."""

    chromosome: np.ndarray  # int32, one a reference
    notes: tuple[str, ...]


def fold_gtf_name(name: str) -> str:
    """A GTF's chromosome as velocyto calls it: `chr1` → `1`, `chrM` → `M`."""
    return name[3:] if "chr" in name[:4] else name


def fold_bam_name(name: str) -> str:
    """A BAM's chromosome as velocyto calls it: `chr1` → `1`, `chrM` → `MT`, `chr1_KI270706v1_random` → `KI270706v1`.

    So `chrM` in the BAM never meets `chrM` in the GTF (`M`): velocyto counts no mitochondrial gene of such a pair.
    """
    if not name.startswith("chr"):
        return name
    if "_" in name:
        return name.split("_")[1]
    return "MT" if name == "chrM" else name[3:]


def number_chromosomes(names: Sequence[str], *, exact_names: bool = False) -> dict[str, int]:
    """Number a GTF's chromosomes in their order: by folded name, so two may become one, or each by its own name."""
    numbered: dict[str, int] = {}
    for name in names:
        numbered.setdefault(name if exact_names else fold_gtf_name(name), len(numbered))
    return numbered


def match_names(names: Sequence[str], gtf_chromosomes: Mapping[str, int]) -> list[int]:
    """The chromosome c of each name, or -1: equal names meet, then those left, if no other folds to the same."""
    gtf_left: dict[str, list[int]] = {}
    for name, c in gtf_chromosomes.items():
        if name not in names:
            gtf_left.setdefault(_plain(name), []).append(c)
    bam_left = Counter(_plain(name) for name in names if name not in gtf_chromosomes)
    places = []
    for name in names:
        candidates = gtf_left.get(_plain(name), ()) if bam_left[_plain(name)] == 1 else ()
        places.append(gtf_chromosomes.get(name, candidates[0] if len(candidates) == 1 else -1))
    return places


def place_references(
    bam: Path | str,
    references: Sequence[str],
    gtf_chromosomes: Mapping[str, int],
    models: TranscriptModels,
    *,
    exact_names: bool = False,
) -> Placed:
    """Find each reference of a BAM among `gtf_chromosomes`, which is `number_chromosomes` of the same `exact_names`.

    Noted: genes on chromosomes that the BAM lacks, references that velocyto's folding makes one, and references
    of a genome that the GTF lacks. Refused: a BAM that has none of the GTF's chromosomes.
    """
    if exact_names:
        places = match_names(references, gtf_chromosomes)
    else:
        places = [gtf_chromosomes.get(fold_bam_name(name), -1) for name in references]
    if references and max(places) < 0:
        raise UserMistake(
            f"{bam}: none of its {len(references)} chromosomes ({_some(references)}) is in the GTF"
            f" ({_some(list(gtf_chromosomes))}); give the GTF of the genome it was aligned to"
            + (
                ", of all genomes where the names tell them apart (GRCh38_chr1)."
                if _genomes(references)
                else " (a `chr` before the name does not matter)."
            )
        )
    return Placed(np.array(places, dtype=np.int32), tuple(_notes(references, places, gtf_chromosomes, models)))


def _plain(name: str) -> str:
    """The name without `chr`, the mitochondrion as `MT`: one folding for both sides."""
    bare = name.removeprefix("chr")
    return "MT" if bare == "M" else bare


def _notes(
    references: Sequence[str], places: Sequence[int], gtf_chromosomes: Mapping[str, int], models: TranscriptModels
) -> list[str]:
    notes = []
    present = set(places)
    absent = [name for name, c in gtf_chromosomes.items() if c not in present]
    if absent:
        # The GTF's own names fold to those that are numbered, or are them.
        lost = [name in absent or fold_gtf_name(name) in absent for name in models.chromosomes]
        on_lost = np.array(lost, dtype=bool)[models.chromosome]
        n_genes = len(set(models.gene[on_lost].tolist()) - set(models.gene[~on_lost].tolist()))
        notes.append(
            f"{n_genes} genes are on {len(absent)} chromosomes that the BAM does not have ({_some(absent)}): no counts"
        )
    several = [c for c, n in Counter(c for c in places if c >= 0).items() if n > 1]
    if several:
        together = "; ".join(
            " and ".join(name for name, c in zip(references, places, strict=True) if c == one)
            for one in several[:N_NAMED]
        )
        notes.append(
            f"{len(several)} chromosomes of the GTF are several in the BAM ({together}): their reads are counted"
            " together, as velocyto does; exact names keep them apart"
        )
    genomes = _genomes(references)
    for genome, members in genomes.items():
        lacking = sum(places[i] < 0 for i in members)
        if len(genomes) > 1 and lacking == len(members):
            notes.append(f"the BAM's header holds {len(genomes)} genomes, and the GTF no chromosome of {genome}")
    return notes


def _genomes(references: Sequence[str]) -> dict[str, list[int]]:
    """References by the genome that their names begin with, where such names are several."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(references):
        if match := _OF_GENOME.fullmatch(name):
            found.setdefault(match[1], []).append(i)
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:N_NAMED]) + (", ..." if len(names) > N_NAMED else "")
