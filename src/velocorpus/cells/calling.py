"""Which barcodes are cells, from their total counts alone, for raw outputs without a list of cells.

Method ("knee"): rank barcodes by total, and draw the curve of log10(total) over log10(rank) for totals of at least
`floor`. The knee is the point farthest above the straight line from the curve's first point to its last, both
axes scaled to 0..1 (the "kneedle" criterion of Satopää et al. 2011, on the barcode-rank plot of the DropletUtils
paper, Lun et al. 2019). Barcodes with totals from the knee down to a tenth of the 99th percentile of those above it
are cells as well, as Cell Ranger 2's rule has it; so a cell with few molecules is not lost to the knee's sharp edge.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from velocorpus.errors import UserMistake

FLOOR = 10
METHOD = "knee: farthest point above the chord of the log-log barcode-rank curve, then a tenth of the 99th percentile"


@dataclass(frozen=True)
class Called:
    """Which barcodes are cells, the total from which on a barcode surely is one, and how that was found."""

    is_cell: np.ndarray  # bool, one a barcode
    threshold: int
    method: str
    parameters: Mapping[str, float] = field(default_factory=dict)


def knee(counts: sparse.csr_matrix) -> Called:
    """Call the cells of raw counts, barcodes × genes (all layers summed), by `call_cells`."""
    return call_cells(np.asarray(counts.sum(axis=1)).ravel())


def call_cells(totals: np.ndarray, *, floor: int = FLOOR) -> Called:
    """Call cells by the knee of the barcode-rank curve; `totals` are molecules per barcode, over all layers.

    Refused: fewer than 10 barcodes with `floor` molecules, of which no curve can be drawn. With nothing but cells in
    the input (no empty droplets) the curve has no knee of this kind and the tenth of the 99th percentile decides.
    """
    totals = np.asarray(totals)
    ranked = np.sort(totals[totals >= floor])[::-1].astype(np.float64)
    if ranked.size < 10:
        raise UserMistake(
            f"Only {ranked.size} barcodes have {floor} molecules or more: too few to call cells; give --cells FILE."
        )
    x = np.log10(np.arange(1, ranked.size + 1))
    y = np.log10(ranked)
    x = x / x[-1]
    y = (y - y[-1]) / max(y[0] - y[-1], np.finfo(float).tiny)
    at_knee = int(ranked[int(np.argmax(y - (1 - x)))])
    threshold = max(floor, int(np.ceil(np.percentile(ranked[ranked >= at_knee], 99) / 10)))
    threshold = min(threshold, at_knee)
    found = {"floor": floor, "knee": at_knee, "threshold": threshold}
    return Called(totals >= threshold, threshold, METHOD, found)
