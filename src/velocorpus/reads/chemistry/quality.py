"""What a sample of reads says of its library before anything is aligned, and the limits that it must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from velocorpus.reads.chemistry.barcode_lists import BarcodeList, Place, listed
from velocorpus.reads.chemistry.look import Share
from velocorpus.reads.chemistry.sampling import NO_BASE, ReadSample

# So many of a tract's bases in a row: 10x's poly(A) trimming takes as much for a tail.
TRACT = 20


@dataclass(frozen=True)
class Quality:
    """Shares of sampled reads.

    `valid_barcodes`: a barcode of the list; `poly_t_umi`: a UMI of T but for one base at most (an oligo's fault);
    `poly_t`, `poly_a`: cDNA with a tract of 20 T (A) in its first 30 bases, so hardly a gene; `unread`: cDNA reads of
    which a tenth or more is N.
    """

    valid_barcodes: Share
    poly_t_umi: Share
    poly_t: Share
    poly_a: Share
    unread: Share

    def as_json(self) -> dict[str, Any]:
        """Every share with its bounds."""
        return {name: share.as_json() for name, share in vars(self).items()}

    def failures(self, *, min_valid_barcodes: float, max_poly_t: float) -> list[str]:
        """What is beyond a limit even at the better bound, one clause each."""
        found = []
        if self.valid_barcodes.high < min_valid_barcodes:
            found.append(
                f"only {self.valid_barcodes.value:.1%} of the barcodes are on the list, {min_valid_barcodes:.0%} are "
                "asked for"
            )
        for what, share in (("UMIs", self.poly_t_umi), ("cDNA reads", self.poly_t)):
            if share.low > max_poly_t:
                found.append(f"{share.value:.1%} of the {what} are tracts of T, {max_poly_t:.0%} are allowed")
        return found


def measure(
    barcode_reads: Sequence[ReadSample], cdna_reads: Sequence[ReadSample], barcodes: BarcodeList, umi_len: int
) -> Quality:
    """Quality of all lanes together."""
    umi = slice(barcodes.length, barcodes.length + umi_len)
    early = slice(0, 30)
    return Quality(
        valid_barcodes=_share([listed(sample, barcodes, Place()) for sample in barcode_reads]),
        poly_t_umi=_share([(sample.codes[:, umi] == 3).sum(axis=1) >= umi_len - 1 for sample in barcode_reads]),
        poly_t=_share([_tract(sample.codes[:, early], 3) for sample in cdna_reads]),
        poly_a=_share([_tract(sample.codes[:, early], 0) for sample in cdna_reads]),
        unread=_share([_unread(sample) for sample in cdna_reads]),
    )


def _share(hits: list[np.ndarray]) -> Share:
    return Share(int(sum(hit.sum() for hit in hits)), sum(map(len, hits)))


def _tract(codes: np.ndarray, base: int) -> np.ndarray:
    """Which reads have `TRACT` times `base` in a row: bool (n,)."""
    if codes.shape[1] < TRACT:
        return np.zeros(len(codes), bool)
    before = np.cumsum(np.pad(codes == base, ((0, 0), (1, 0))), axis=1)
    return np.asarray((before[:, TRACT:] - before[:, :-TRACT] == TRACT).any(axis=1))


def _unread(sample: ReadSample) -> np.ndarray:
    within = np.arange(sample.codes.shape[1]) < sample.lengths[:, None]
    unread = ((sample.codes == NO_BASE) & within).sum(axis=1)
    return np.asarray(unread >= 0.1 * np.maximum(within.sum(axis=1), 1))
