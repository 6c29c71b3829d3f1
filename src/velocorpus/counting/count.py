"""A BAM, a GTF and a list of barcodes to counts of spliced, unspliced and ambiguous molecules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting import alignments, molecules, rules
from velocorpus.counting.alignments import Alignments, read_alignments
from velocorpus.counting.features import build_features
from velocorpus.counting.molecules import Molecules, count_molecules
from velocorpus.errors import UserMistake
from velocorpus.reference.gtf import TranscriptModels

_LAYER = {
    rules.SPLICED: names.SPLICED,
    rules.UNSPLICED: names.UNSPLICED,
    rules.AMBIGUOUS: names.AMBIGUOUS,
}
_READ_OUTCOME = {
    molecules.OUTSIDE_FEATURES: "outside_features",
    molecules.AGAINST_SPLICING: "splicing_fits_no_transcript",
}
_MOLECULE_OUTCOME = {
    **_LAYER,
    molecules.NO_COMMON_TRANSCRIPT: "no_common_transcript",
    molecules.SEVERAL_GENES: "several_genes",
    molecules.DISCARDED_BY_LOGIC: "discarded_by_logic",
}


@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of one sample: cells × genes CSR int32 per layer, genes as a frame indexed by gene id."""

    layers: Mapping[str, sparse.csr_matrix]
    barcodes: tuple[str, ...]
    genes: pd.DataFrame
    qc: dict[str, Any]
    notes: tuple[str, ...]


def count_bam(
    bam: Any,
    models: TranscriptModels,
    barcodes: Sequence[str] | None,
    *,
    logic: str = "permissive10x",
    cell_tag: str = "CB",
    umi_tag: str = "UB",
    threads: int = 1,
) -> Counts:
    """Count the molecules of a BAM by one of `rules.LOGICS`, cell by cell and gene by gene as velocyto 0.17.17 does.

    Rows are the listed barcodes, all of them, in the list's order (without a list: every barcode seen, in order of
    appearance); columns are the genes of the GTF in its order. Refusals are those of `read_alignments`.
    """
    if logic not in rules.LOGICS:
        raise UserMistake(f"'{logic}' is not a logic; allowed: {', '.join(rules.LOGICS)}.")
    features = build_features(models)
    reads = read_alignments(bam, features, barcodes, cell_tag=cell_tag, umi_tag=umi_tag, threads=threads)
    found = count_molecules(reads, features, rules.decision_table(rules.LOGICS[logic]), threads=threads)
    shape = (len(reads.barcodes), len(models.gene_ids))
    layers = {}
    for code, layer in _LAYER.items():
        chosen = found.outcome == code
        ones = np.ones(int(chosen.sum()), dtype=np.int32)
        layers[layer] = sparse.csr_matrix((ones, (found.cell[chosen], found.gene[chosen])), shape=shape)
        layers[layer].sum_duplicates()
    return Counts(
        layers=layers,
        barcodes=reads.barcodes,
        genes=gene_frame(models),
        qc=account(reads, found),
        notes=(*models.warnings, *reads.notes),
    )


def gene_frame(models: TranscriptModels) -> pd.DataFrame:
    """The genes of an annotation as `write_counts` wants them."""
    index = pd.Index(models.gene_ids, dtype=object, name=names.GENE_ID)
    return pd.DataFrame({names.SYMBOL: models.symbols, names.VERSION: models.versions}, index=index)


def account(reads: Alignments, found: Molecules) -> dict[str, Any]:
    """Every read under one heading and every molecule under one, with sums that are checked.

    Reads: why one was not used, or what became of its molecule. Molecules: those with at least one read that agrees
    with a transcript.
    """
    by_read = dict(reads.unused)
    for code, name in _READ_OUTCOME.items():
        by_read[name] = int((found.read_outcome == code).sum())
    molecule_of = np.repeat(np.arange(found.cell.size), found.n_reads)
    order = np.lexsort((reads.umi, reads.cell))
    matched = found.read_outcome[order] == molecules.MATCHED
    outcome_of = found.outcome[molecule_of]
    by_molecule = {}
    for code, name in _MOLECULE_OUTCOME.items():
        by_read[f"in_molecules_{name}"] = int((matched & (outcome_of == code)).sum())
        by_molecule[name] = int((found.outcome == code).sum())
    n_molecules = int((found.outcome != molecules.NO_MATCH).sum())
    assert sum(by_read.values()) == reads.n_records, "a read is not accounted for by exactly one reason"
    assert sum(by_molecule.values()) == n_molecules, "a molecule is not accounted for by exactly one outcome"
    return {
        "n_reads": reads.n_records,
        "reads": by_read,
        "n_molecules": n_molecules,
        "molecules": by_molecule,
        "n_introns_validated": int(found.validated.sum()),
    }


__all__ = ["Counts", "account", "alignments", "count_bam", "gene_frame"]
