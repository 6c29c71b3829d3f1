"""EmptyDrops (Lun et al. 2019) in Cell Ranger's flavour, for raw counts whose tool calls no cells (kb, alevin-fry).

1. Simple cells: barcodes with at least a tenth of the total of the `n_expected` × 1 % -th largest barcode.
2. Ambient profile: the summed counts of the barcodes ranked `ind_min` to `ind_max`, which are empty droplets in any
   real library; smoothed by simple Good-Turing (Gale & Sampson 1995), so that a gene they lack has a probability too.
3. Candidates: the next barcodes by total, down to max(`umi_min`, `umi_min_frac_median` × the simple cells' median), at
   most `cand_max`. The likelihood of each one's counts as a multinomial draw from the profile is compared with that of
   `n_sim` simulated draws of the same total: p = (1 + draws less likely) / (1 + `n_sim`).
4. Candidates with a Benjamini-Hochberg adjusted p of at most `fdr` are cells, as are the simple cells.

The defaults are Cell Ranger 3's, as STARsolo's `EmptyDrops_CR` has them; the steps are the same, the random numbers
are our own. A library with no more than `ind_min` barcodes shows no empty droplets: the knee decides, and is recorded.
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import sparse
from scipy.special import gammaln
from scipy.stats import false_discovery_control

from velocorpus.cells.calling import Called, call_cells
from velocorpus.compiled import compiled

METHOD = "EmptyDrops (Lun et al. 2019), Cell Ranger 3's flavour"


@dataclass(frozen=True)
class EmptyDrops:
    """The parameters, in STAR's order; ranks are 0-based, `fdr` and both fractions are shares of 1."""

    n_expected: int = 3000
    max_percentile: float = 0.99
    max_min_ratio: float = 10
    ind_min: int = 45_000
    ind_max: int = 90_000
    umi_min: int = 500
    umi_min_frac_median: float = 0.01
    cand_max: int = 20_000
    fdr: float = 0.01
    n_sim: int = 10_000
    seed: int = 0


def empty_drops(counts: sparse.csr_matrix, parameters: EmptyDrops = EmptyDrops()) -> Called:
    """Call the cells of raw counts, barcodes × genes (all layers summed).

    Same counts and parameters, same cells. Refused: what the knee refuses, where it has to decide.
    """
    counts = sparse.csr_matrix(counts)
    totals = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
    n_barcodes = int((totals > 0).sum())
    if n_barcodes <= parameters.ind_min:
        called = call_cells(totals)
        return Called(
            called.is_cell,
            called.threshold,
            f"{called.method} (EmptyDrops needs more than {parameters.ind_min} barcodes, here are {n_barcodes})",
            called.parameters,
        )
    # Ties are broken by place, so that the order is one.
    order = np.argsort(-totals, kind="stable")
    ranked = totals[order]
    top = ranked[min(len(ranked) - 1, round(parameters.n_expected * (1 - parameters.max_percentile)))]
    threshold = max(1, round(top / parameters.max_min_ratio))
    is_cell = totals >= threshold
    n_simple = int(is_cell.sum())
    profile = ambient_profile(counts, order[parameters.ind_min : parameters.ind_max])
    log_p = np.log(profile, out=np.full_like(profile, -np.inf), where=profile > 0)
    lowest = max(parameters.umi_min, int(parameters.umi_min_frac_median * ranked[n_simple // 2]))
    candidates = order[n_simple : n_simple + parameters.cand_max]
    candidates = candidates[totals[candidates] >= lowest]
    is_more = np.zeros(len(candidates), dtype=bool)
    if len(candidates):
        p_values = _p_values(counts[candidates], totals[candidates], log_p, parameters)
        is_more = false_discovery_control(p_values) <= parameters.fdr
        is_cell[candidates[is_more]] = True
    found = {"simple_cells": n_simple, "threshold": threshold, "candidates": len(candidates), "rescued": is_more.sum()}
    return Called(is_cell, threshold, METHOD, asdict(parameters) | {key: int(n) for key, n in found.items()})


def ambient_profile(counts: sparse.csr_matrix, empty: np.ndarray) -> np.ndarray:
    """Each gene's probability in an empty droplet, float64, of those that any barcode has; 0 for the others."""
    ambient = np.asarray(counts[empty].sum(axis=0)).ravel().astype(np.int64)
    seen = np.asarray(counts.sum(axis=0)).ravel() > 0
    values, frequencies = np.unique(ambient[ambient > 0], return_counts=True)
    per_gene, unseen = good_turing(values, frequencies)
    profile = np.zeros(len(ambient))
    places = np.searchsorted(values, ambient).clip(max=max(len(values) - 1, 0))
    profile[ambient > 0] = per_gene[places[ambient > 0]]
    lacking = seen & (ambient == 0)
    if lacking.any():
        profile[lacking] = unseen / lacking.sum()
    return np.divide(profile, profile.sum(), out=np.zeros_like(profile), where=profile.sum() > 0)


def good_turing(values: np.ndarray, frequencies: np.ndarray) -> tuple[np.ndarray, float]:
    """Simple Good-Turing: the probability of a species seen `values[i]` times, and of all unseen ones together.

    `frequencies[i]` species were seen `values[i]` times each, ascending. Turing's estimate holds for small counts,
    until it differs from the log-linear fit by less than 1.96 standard deviations; from there on the fit does.
    """
    total = float((values * frequencies).sum())
    unseen = float(frequencies[0] / total) if values[0] == 1 else 0.0
    if len(values) == 1:
        return np.array([(1 - unseen) / frequencies[0]]), unseen
    left = np.concatenate([[0], values[:-1]])
    right = np.concatenate([values[1:], [2 * values[-1] - left[-1]]])
    slope, intercept = np.polyfit(np.log(values), np.log(2 * frequencies / (right - left)), 1)

    def fitted(r: np.ndarray) -> np.ndarray:
        return np.exp(intercept + slope * np.log(r))

    adjusted = (values + 1) * fitted(values + 1) / fitted(values)
    for i, (r, n) in enumerate(zip(values, frequencies, strict=True)):
        if i + 1 == len(values) or values[i + 1] != r + 1:
            break
        following = frequencies[i + 1]
        turing = (r + 1) * following / n
        if abs(turing - adjusted[i]) <= 1.96 * (r + 1) * np.sqrt(following / n**2 * (1 + following / n)):
            break
        adjusted[i] = turing
    return (1 - unseen) * adjusted / (adjusted * frequencies).sum(), unseen


def _p_values(counts: sparse.csr_matrix, totals: np.ndarray, log_p: np.ndarray, parameters: EmptyDrops) -> np.ndarray:
    """Of each candidate: how often a draw of the same total from the ambient profile is less likely than it is."""
    data, rows = counts.data.astype(np.float64), np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    terms = data * log_p[counts.indices] - gammaln(data + 1)
    observed = gammaln(totals + 1) + np.bincount(rows, weights=terms, minlength=counts.shape[0])
    by_total = np.argsort(totals, kind="stable")
    genes = np.flatnonzero(np.isfinite(log_p))
    cumulative = np.cumsum(np.exp(log_p[genes]))
    rng = np.random.default_rng(parameters.seed)
    less = _draws_below(
        rng, cumulative / cumulative[-1], log_p[genes], totals[by_total], observed[by_total], parameters.n_sim
    )
    p_values = np.empty(len(totals))
    p_values[by_total] = (1 + less) / (1 + parameters.n_sim)
    return p_values


@compiled
def _draws_below(rng, cumulative, log_p, totals, observed, n_sim):  # type: ignore[no-untyped-def]
    """Per candidate, ascending by total: simulated draws less likely than it. One draw grows through all totals."""
    less = np.zeros(len(totals), dtype=np.int64)
    for _ in range(n_sim):
        drawn = np.zeros(len(log_p), dtype=np.int64)
        likelihood, n, candidate = 0.0, 0, 0
        while candidate < len(totals):
            while n < totals[candidate]:
                n += 1
                gene = np.searchsorted(cumulative, rng.random(), side="right")
                drawn[gene] += 1
                likelihood += log_p[gene] + np.log(n / drawn[gene])
            if likelihood < observed[candidate]:
                less[candidate] += 1
            candidate += 1
    return less
