"""What can become of a read and of a molecule: every one has exactly one outcome, and the sums are checked."""

from pathlib import Path
from typing import Any

import numpy as np

from velocorpus.files import write_text

# Why a read cannot count, in the order of asking; the last is what every other read ends as.
(
    UNMAPPED,
    FLAGGED,
    MULTIMAPPED,
    UNTAGGED,
    UNLISTED,
    ODD_UMI,
    UNALIGNED,
    LONG_SPAN,
    NO_ANNOTATION,
    MASKED,
    OUTSIDE_FEATURES,
    AGAINST_SPLICING,
    MATCHED,
) = range(13)
N_READ_OUTCOMES = 13
READ_NAMES = (
    "unmapped",
    "flagged",
    "multimapped",
    "without_cell_or_umi",
    "barcode_not_listed",
    "umi_not_acgt",
    "no_aligned_base",
    "span_over_3mb",
    "chromosome_not_in_gtf",
    "in_masked_repeat",
    "outside_features",
    "splicing_fits_no_transcript",
)

# What a molecule with a matched read is; the first four are the values of `rules`.
DISCARDED_BY_LOGIC, SPLICED, UNSPLICED, AMBIGUOUS, NO_COMMON_TRANSCRIPT, SEVERAL_GENES = range(6)
N_MOLECULE_OUTCOMES = 6
MOLECULE_NAMES = (
    "discarded_by_logic",
    "spliced",
    "unspliced",
    "ambiguous",
    "no_common_transcript",
    "several_genes",
)

# Where a matched read lies.
EXONS, INTRONS, BOTH, ACROSS = range(4)
PLACE_NAMES = ("exons", "introns", "exons_and_introns", "across_a_boundary")


def account(
    reads: np.ndarray, molecules: np.ndarray, reads_of_molecules: np.ndarray, places: np.ndarray
) -> dict[str, Any]:
    """The QC table: records by outcome, matched ones by the outcome of their molecule and by place, molecules.

    `reads` is int64 by read outcome, `molecules` and `reads_of_molecules` by molecule outcome, `places` by place.
    """
    matched = int(reads[MATCHED])
    assert reads_of_molecules.sum() == matched, "a matched read is in no molecule"
    assert places.sum() == matched, "a matched read lies nowhere"
    by_read = {name: int(n) for name, n in zip(READ_NAMES, reads[:MATCHED], strict=True)}
    by_read |= {f"in_molecules_{name}": int(n) for name, n in zip(MOLECULE_NAMES, reads_of_molecules, strict=True)}
    n_reads = int(reads.sum())
    assert sum(by_read.values()) == n_reads, "a read is not accounted for by exactly one reason"
    return {
        "n_reads": n_reads,
        "n_mapped": n_reads - int(reads[UNMAPPED]),
        "n_of_listed_barcodes": n_reads - int(reads[: UNLISTED + 1].sum()),
        "reads": by_read,
        "matched_reads_lie_in": {name: int(n) for name, n in zip(PLACE_NAMES, places, strict=True)},
        "n_molecules": int(molecules.sum()),
        "molecules": {name: int(n) for name, n in zip(MOLECULE_NAMES, molecules, strict=True)},
    }


def quantiles(values: np.ndarray) -> dict[str, float]:
    """Five quantiles of the values that are not NaN, rounded to what can be read; none of nothing."""
    known = values[~np.isnan(values)]
    points = (0.05, 0.25, 0.5, 0.75, 0.95) if known.size else ()
    return {f"q{round(100 * q):02d}": round(float(np.quantile(known, q)), 4) for q in points}


def write_qc(path: Path | str, qc: dict[str, Any]) -> None:
    """Write the table of `account` as a TSV of section, row and number; each section of reads or molecules sums up."""
    lines = [("section", "row", "n")]
    for section, value in qc.items():
        lines += (
            [(section, row, str(n)) for row, n in value.items()]
            if isinstance(value, dict)
            else [("total", section, str(value))]
        )
    write_text(path, "".join("\t".join(line) + "\n" for line in lines))
