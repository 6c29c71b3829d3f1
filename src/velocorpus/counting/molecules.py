"""Reads to molecules to counts: all reads of a cell and a UMI, over the whole BAM, are one molecule.

A molecule's transcripts are those that all its reads agree with. None left, or transcripts of several genes: it is
discarded. Else what they say together is its evidence, and `rules` decides.
"""

from typing import NamedTuple

import numpy as np

from velocorpus.compiled import compiled
from velocorpus.counting.accounting import N_MOLECULE_OUTCOMES, NO_COMMON_TRANSCRIPT, PLACE_NAMES, SEVERAL_GENES
from velocorpus.counting.barcodes import spread
from velocorpus.counting.classes import Stories, weigh
from velocorpus.counting.rules import SINGLE_MATCH
from velocorpus.counting.spill import Reads


class Molecules(NamedTuple):
    """The molecules of some reads: one row a molecule, in the order of their first reads."""

    cell: np.ndarray  # int32
    gene: np.ndarray  # int32, -1 where no one gene is left
    outcome: np.ndarray  # uint8, see `accounting`
    n_molecules: np.ndarray  # int64 by outcome
    n_reads: np.ndarray  # int64 by outcome of their molecule
    places: np.ndarray  # int64, reads by where they lie


def decide_molecules(reads: Reads, stories: Stories, gene_of: np.ndarray, decisions: np.ndarray) -> Molecules:
    """Decide every molecule of `reads`; `gene_of` is int32 by transcript, `decisions` `rules.decision_table`."""
    cell, edge, class_ = group_molecules(*reads)
    gene = np.full(cell.size, -1, dtype=np.int32)
    outcome = np.empty(cell.size, dtype=np.uint8)
    _decide(edge, class_, tuple(stories), gene_of, decisions, gene, outcome)
    n_reads = np.bincount(outcome, weights=np.diff(edge), minlength=N_MOLECULE_OUTCOMES).astype(np.int64)
    n_molecules = np.bincount(outcome, minlength=N_MOLECULE_OUTCOMES)
    places = np.bincount(stories.place[reads.class_], minlength=len(PLACE_NAMES))
    return Molecules(cell, gene, outcome, n_molecules, n_reads, places)


@compiled
def group_molecules(cell, umi, class_):  # type: ignore[no-untyped-def]
    """Each molecule's cell, where its reads begin, and the classes of all reads, sorted by molecule."""
    n_reads = cell.size
    slots = np.full(max(16, 1 << int(np.ceil(np.log2(2 * n_reads + 1)))), -1, dtype=np.int32)
    molecule = np.empty(n_reads, dtype=np.int32)
    first_read = np.empty(n_reads, dtype=np.int32)
    edge = np.zeros(n_reads + 1, dtype=np.int64)
    n = 0
    for r in range(n_reads):
        slot = spread(umi[r] ^ (np.int64(cell[r]) << 40)) >> 8 & (slots.size - 1)
        while slots[slot] >= 0:
            known = first_read[slots[slot]]
            if umi[known] == umi[r] and cell[known] == cell[r]:
                break
            slot = (slot + 1) & (slots.size - 1)
        if slots[slot] < 0:
            slots[slot] = n
            first_read[n] = r
            n += 1
        molecule[r] = slots[slot]
        edge[molecule[r] + 1] += 1
    for m in range(n):
        edge[m + 1] += edge[m]
    place = edge[:n].copy()
    sorted_ = np.empty(n_reads, dtype=np.int32)
    for r in range(n_reads):
        sorted_[place[molecule[r]]] = class_[r]
        place[molecule[r]] += 1
    return cell[first_read[:n]], edge[: n + 1], sorted_


@compiled
def _decide(edge, class_, stories, gene_of, decisions, gene, outcome):  # type: ignore[no-untyped-def]
    offset, transcript, bits, evidence_of, own_gene, single, _ = stories
    common = np.empty(64, dtype=np.int32)
    common_bits = np.empty(64, dtype=np.uint8)
    for m in range(edge.size - 1):
        low, high = edge[m], edge[m + 1]
        c = class_[low]
        alike = True
        for r in range(low + 1, high):
            alike &= class_[r] == c
        if alike:
            gene[m], evidence = own_gene[c], evidence_of[c]
            if high - low == 1 and single[c]:
                evidence |= np.uint8(SINGLE_MATCH)
        else:
            n = offset[c + 1] - offset[c]
            if common.size < n:
                common, common_bits = np.empty(2 * n, dtype=np.int32), np.empty(2 * n, dtype=np.uint8)
            common[:n] = transcript[offset[c] : offset[c + 1]]
            common_bits[:n] = bits[offset[c] : offset[c + 1]]
            for r in range(low + 1, high):
                if class_[r] != class_[r - 1]:
                    n = _intersect(common, common_bits, n, transcript, bits, offset[class_[r]], offset[class_[r] + 1])
            if n == 0:
                outcome[m] = NO_COMMON_TRANSCRIPT
                continue
            gene[m], evidence = weigh(common, common_bits, 0, n, gene_of)
        outcome[m] = decisions[evidence] if gene[m] >= 0 else SEVERAL_GENES


@compiled
def _intersect(common, common_bits, n, transcript, bits, first, end):  # type: ignore[no-untyped-def]
    """Keep of `common[:n]` what is in `transcript[first:end]` too (both ascending), with the bits of both."""
    left = 0
    j = first
    for i in range(n):
        while j < end and transcript[j] < common[i]:
            j += 1
        if j < end and transcript[j] == common[i]:
            common[left] = common[i]
            common_bits[left] = common_bits[i] | bits[j]
            left += 1
    return left
