"""Doublet scores by Scrublet, as scanpy has it (Wolock, Lopez & Klein 2019): how much a cell looks like two cells.

Pairs of the sample's own cells are added up, and a cell's score is the share of such sums among its neighbours, made a
probability by the rate that is expected. A score, not a verdict: its scale differs between samples.
"""

from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scrublet's own default of principal components: it needs more cells and more variable genes than these.
COMPONENTS = 30
# Below this, neighbours and variable genes of a sample say little.
MIN_CELLS = 100
MIN_GENES = 3  # in a cell; scanpy leaves others out


def score_doublets(counts: Any, seed: int) -> tuple[NDArray[np.float64], str]:
    """Scores from 0 to 1 of one sample's cells, from cells × genes counts (CSR), and why there are none (else empty).

    NaN where a cell has fewer than `MIN_GENES` genes, and everywhere when there are too few cells or variable genes.
    The same counts and seed give the same scores.
    """
    import anndata as ad
    import scanpy as sc

    scores = np.full(counts.shape[0], np.nan)
    rows = np.flatnonzero(counts.getnnz(axis=1) >= MIN_GENES)
    if len(rows) < MIN_CELLS:
        return scores, f"{len(rows)} cells have {MIN_GENES} genes or more, {MIN_CELLS} are needed"
    adata = ad.AnnData(counts[rows].astype(np.float32))
    try:
        # The threshold is for calls, which nobody reads here; without one scanpy wants scikit-image.
        # Neighbours are exact, so that scores do not depend on threads.
        sc.pp.scrublet(
            adata,
            n_prin_comps=COMPONENTS,
            use_approx_neighbors=False,
            threshold=0.0,
            random_state=seed,
            verbose=False,
        )
    except ValueError as error:
        if "n_components" not in str(error):
            raise
        return scores, f"fewer than {COMPONENTS} genes vary between its cells"
    scores[rows] = adata.obs["doublet_score"].to_numpy(np.float64)
    return scores, ""


def scored_by(seed: int) -> dict[str, Any]:
    """What the counts file keeps of how its scores were made."""
    return {"by": f"scanpy {version('scanpy')} scrublet, all layers", "seed": seed}
