"""The barcodes of a tagged BAM that are cells, where nobody gave a list."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.alignments.bgzf import Chunk
from velocorpus.counting.alignments.reads import Selection
from velocorpus.counting.barcodes import unpack_text
from velocorpus.counting.molecules import group_molecules
from velocorpus.counting.scan import as_batch, read_source
from velocorpus.counting.spill import Reads, ReadStore
from velocorpus.errors import UserMistake
from velocorpus.files import write_text

_EMPTY = 1  # the packed text of no letters: STARsolo's `-`


class Called(Protocol):
    """What a method of cell calling says (see `cells.calling.Called`)."""

    @property
    def threshold(self) -> int: ...  # noqa: D102


def molecules_of(bam: Path | str, *, cell_tag: str = "CB", umi_tag: str = "UB") -> tuple[dict[str, int], int]:
    """Corrected barcode (without `-1`) → its different UMIs over all uniquely mapped reads.

    A UMI seen in two genes counts once: enough to tell cells from empty droplets, not a count of molecules. Also the
    number of barcodes left out, which are not of A, C, G and T alone or have over 31 bases: none is a corrected one.
    """
    header = read_header(bam)
    nothing = np.empty(0, dtype=np.int64)
    selection = Selection(nothing, nothing.astype(np.int32), cell_tag, umi_tag)
    number_of: dict[int, int] = {}
    with ReadStore() as store, ThreadPoolExecutor(1) as pool:
        for read in read_source(bam, header, (), selection, pool, 1):
            batch = as_batch(bam, read, header, selection)
            seen, place = np.unique(batch.barcode, return_inverse=True)
            numbers = np.array([number_of.setdefault(key, len(number_of)) for key in seen.tolist()], dtype=np.int32)
            store.add(Reads(numbers[place], batch.umi, np.zeros(batch.umi.size, dtype=np.int32)))
            if isinstance(read, Chunk):
                read.free()
        n_molecules = np.zeros(len(number_of), dtype=np.int64)
        for part in store.parts():
            n_molecules += np.bincount(group_molecules(*part)[0], minlength=n_molecules.size)
    found = {unpack_text(key): int(n_molecules[number]) for key, number in number_of.items() if key > _EMPTY}
    if not found:
        raise UserMistake(
            f"{bam} has no uniquely mapped read with the tags {cell_tag} and {umi_tag}; give a list of cells."
        )
    return dict(sorted(found.items())), len(number_of) - len(found) - (_EMPTY in number_of)


def write_cell_list(
    bam: Path | str, out: Path | str, *, caller: Callable[[np.ndarray], Called], min_umis: int | None = None
) -> str:
    """Write the cells, one barcode a line, and say what was found.

    Cells have `min_umis` UMIs, or are called by `caller` from the UMIs per barcode.
    """
    molecules, n_odd = molecules_of(bam)
    threshold = min_umis if min_umis is not None else caller(np.array(list(molecules.values()))).threshold
    cells = [barcode for barcode, n in molecules.items() if n >= threshold]
    if not cells:
        raise UserMistake(f"{bam}: no barcode has {threshold} UMIs; the most are {max(molecules.values())}.")
    write_text(out, "".join(f"{barcode}\n" for barcode in cells))
    odd = f"; {n_odd} barcodes with other letters than A, C, G and T are left out" if n_odd else ""
    return f"{bam}: {len(cells)} of {len(molecules)} barcodes are cells, from {threshold} UMIs on{odd}"
