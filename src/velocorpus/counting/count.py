"""A BAM, a GTF and a list of barcodes to counts of spliced, unspliced and ambiguous molecules.

One pass over the BAM matches every read and sets the matched ones aside by class; when the validated introns are known,
molecules are put together and decided. Work goes to `threads` threads in the BAM's order, so counts do not depend on
their number.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting import accounting, corrections
from velocorpus.counting.alignments.bam import read_header
from velocorpus.counting.alignments.bgzf import in_order
from velocorpus.counting.alignments.reads import Selection
from velocorpus.counting.barcodes import barcode_table
from velocorpus.counting.chromosomes import place_references
from velocorpus.counting.classes import tell_stories
from velocorpus.counting.features import Features, build_features
from velocorpus.counting.mask import Mask, no_mask
from velocorpus.counting.matching import LONGEST_SPAN, Matcher
from velocorpus.counting.molecules import Molecules, decide_molecules
from velocorpus.counting.rules import LOGICS, decision_table
from velocorpus.counting.scan import check_reads, scan
from velocorpus.counting.spill import READS_IN_MEMORY, ReadStore
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import TranscriptModels

_LAYERS = {
    accounting.SPLICED: names.SPLICED,
    accounting.UNSPLICED: names.UNSPLICED,
    accounting.AMBIGUOUS: names.AMBIGUOUS,
}


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one sample: cells × genes CSR int32 per layer, genes as a frame indexed by gene id.

    `cells` is one row a barcode: `unspliced_fraction`, float32, the unspliced share of all its molecules (NaN of none).
    """

    layers: Mapping[str, sparse.csr_matrix]
    barcodes: tuple[str, ...]
    genes: pd.DataFrame
    cells: pd.DataFrame
    qc: dict[str, Any]
    notes: tuple[str, ...]


def count_bam(
    bam: Path | str,
    models: TranscriptModels,
    barcodes: Sequence[str],
    *,
    logic: str = "permissive10x",
    cell_tag: str = "CB",
    umi_tag: str = "UB",
    threads: int = 1,
    features: Features | None = None,
    mask: Mask | None = None,
    correct: frozenset[str] = frozenset(),
    reads_in_memory: int = READS_IN_MEMORY,
) -> Counts:
    """Count the molecules of a BAM by one of `rules.LOGICS`, cell by cell and gene by gene as velocyto 0.17.17 does.

    Rows are the listed barcodes, all of them, in the list's order; columns are the genes of the GTF in its order.
    `features` are those of `models` under the same corrections, where the caller has them already. Up to
    `reads_in_memory` matched reads are held in memory, what goes beyond in the temporary folder. SAM and CRAM are read
    too, slower. Refused: a truncated or damaged file, one none of whose chromosomes is in the GTF, one without the
    tags, one in which no tagged read has a listed barcode.
    """
    if logic not in LOGICS:
        raise UserMistake(f"'{logic}' is not a logic; allowed: {', '.join(LOGICS)}.")
    if any(len(tag.encode()) != 2 for tag in (cell_tag, umi_tag)):
        raise UserMistake(f"'{cell_tag}' and '{umi_tag}': a BAM tag has two characters, like CB and UB.")
    if features is None:
        features = build_features(models, correct)
    header = read_header(bam)
    placed = place_references(
        bam, header.chromosomes, features.chromosomes, models, exact_names=corrections.CHROMOSOME_NAMES in correct
    )
    mask = mask or no_mask(2 * len(features.chromosomes))
    selection = Selection(
        *barcode_table(barcodes),
        cell_tag=cell_tag,
        umi_tag=umi_tag,
        skip_flagged=corrections.FLAGS in correct,
        skip_odd_umis=corrections.ODD_UMIS in correct,
    )
    matcher = Matcher(
        features,
        placed.chromosome,
        mask,
        shift_by_clip=corrections.SOFT_CLIP not in correct,
        longest_span=None if corrections.LONG_SPAN in correct else LONGEST_SPAN,
    )
    decisions = decision_table(LOGICS[logic])
    with ReadStore(reads_in_memory=reads_in_memory) as store, ThreadPoolExecutor(threads) as pool:
        scanned = scan(bam, header, barcodes, selection, matcher, store, pool, threads)
        notes = check_reads(bam, scanned, len(barcodes), selection)
        stories = tell_stories(scanned.classes, features, matcher.validated)
        decided = in_order(
            pool, lambda part: decide_molecules(part, stories, features.gene, decisions), store.parts(), threads
        )
        layers, qc = _assemble(decided, scanned.outcomes, (len(barcodes), len(models.gene_ids)))
    qc["n_introns_validated"] = int(matcher.validated.sum())
    qc["n_reads_spilled"] = store.n_spilled
    unspliced = _unspliced_fraction(layers)
    qc["unspliced_fraction_of_cells"] = accounting.quantiles(unspliced)
    return Counts(
        layers=layers,
        barcodes=tuple(barcodes),
        genes=gene_frame(models),
        cells=pd.DataFrame({"unspliced_fraction": unspliced}),
        qc=qc,
        notes=(*models.warnings, *placed.notes, *mask.notes, *notes, *_check_layers(layers)),
    )


def _assemble(
    decided: Iterable[Molecules], outcomes: np.ndarray, shape: tuple[int, int]
) -> tuple[dict[str, sparse.csr_matrix], dict[str, Any]]:
    """The matrices (cells × genes) of the counted molecules, and the QC table."""
    places = np.zeros(len(accounting.PLACE_NAMES), dtype=np.int64)
    n_molecules, n_reads = (np.zeros(accounting.N_MOLECULE_OUTCOMES, dtype=np.int64) for _ in range(2))
    counted: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {code: [] for code in _LAYERS}
    for found in decided:
        places += found.places
        n_molecules += found.n_molecules
        n_reads += found.n_reads
        for code, entries in counted.items():
            chosen = found.outcome == code
            entries.append((found.cell[chosen], found.gene[chosen]))
    layers = {}
    for code, layer in _LAYERS.items():
        cell, gene = map(np.concatenate, zip(*counted.pop(code), strict=True))
        layers[layer] = sparse.csr_matrix((np.ones(cell.size, dtype=np.int32), (cell, gene)), shape=shape)
    return layers, accounting.account(outcomes, n_molecules, n_reads, places)


def _unspliced_fraction(layers: Mapping[str, sparse.csr_matrix]) -> np.ndarray:
    total = {layer: np.asarray(matrix.sum(axis=1), dtype=np.float32).ravel() for layer, matrix in layers.items()}
    with np.errstate(invalid="ignore"):
        return total[names.UNSPLICED] / sum(total.values())


def _check_layers(layers: Mapping[str, sparse.csr_matrix]) -> list[str]:
    if layers[names.SPLICED].nnz and not layers[names.UNSPLICED].nnz:
        return ["not one molecule is unspliced: were introns left out of the alignment or of the GTF's genome?"]
    return []


def gene_frame(models: TranscriptModels) -> pd.DataFrame:
    """The genes of an annotation as `write_counts` wants them."""
    index = pd.Index(models.gene_ids, dtype=object, name=names.GENE_ID)
    return pd.DataFrame({names.SYMBOL: models.symbols, names.VERSION: models.versions}, index=index)
