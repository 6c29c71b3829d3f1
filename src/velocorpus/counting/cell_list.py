"""The barcodes of a tagged BAM that are cells, where nobody gave a list."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from velocorpus.counting.bam import check_bam
from velocorpus.errors import UserMistake
from velocorpus.files import write_text


class Called(Protocol):
    """What a method of cell calling says (see `cells.calling.Called`)."""

    @property
    def threshold(self) -> int: ...  # noqa: D102


def molecules_of(bam: Path | str, *, cell_tag: str = "CB", umi_tag: str = "UB") -> dict[str, int]:
    """Corrected barcode (without `-1`) → its different UMIs over all aligned reads.

    A UMI seen in two genes counts once: enough to tell cells from empty droplets, not a count of molecules.
    """
    import pysam

    check_bam(bam)
    seen: set[tuple[str, str]] = set()
    with pysam.AlignmentFile(str(bam), "rb", check_sq=False) as alignments:
        for read in alignments.fetch(until_eof=True):
            if not read.is_unmapped and read.has_tag(cell_tag) and read.has_tag(umi_tag):
                seen.add((str(read.get_tag(cell_tag)).split("-")[0], str(read.get_tag(umi_tag))))
    molecules: dict[str, int] = {}
    for barcode, _ in seen:
        molecules[barcode] = molecules.get(barcode, 0) + 1
    if not molecules:
        raise UserMistake(f"{bam} has no aligned read with the tags {cell_tag} and {umi_tag}; give a list of cells.")
    return dict(sorted(molecules.items()))


def write_cell_list(
    bam: Path | str, out: Path | str, *, caller: Callable[[np.ndarray], Called], min_umis: int | None = None
) -> str:
    """Write the cells, one barcode a line, and say what was found.

    Cells have `min_umis` UMIs, or are called by `caller` from the UMIs per barcode.
    """
    molecules = molecules_of(bam)
    threshold = min_umis if min_umis is not None else caller(np.array(list(molecules.values()))).threshold
    cells = [barcode for barcode, n in molecules.items() if n >= threshold]
    if not cells:
        raise UserMistake(f"{bam}: no barcode has {threshold} UMIs; the most are {max(molecules.values())}.")
    write_text(out, "".join(f"{barcode}\n" for barcode in cells))
    return f"{bam}: {len(cells)} of {len(molecules)} barcodes are cells, from {threshold} UMIs on"
