"""Velocities that a decoder is taught or judged by, as arrays: what `targets.h5ad` holds."""

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class StudyTargets:
    """Velocities of one study's cells (rows, by cell id) at genes (columns, by gene id)."""

    kind: str  # truth, scvelo_stochastic, …
    cells: list[str]
    genes: list[str]
    velocity_NG: np.ndarray  # float32, NaN = not fitted
    confidence_G: np.ndarray  # float32 in [0, 1]; 0 = not to be learned from

    def digest(self) -> str:
        """SHA-256 over cells, genes, velocities and confidences."""
        digest = hashlib.sha256("\n".join([self.kind, *self.cells, "", *self.genes]).encode())
        digest.update(np.ascontiguousarray(self.velocity_NG).tobytes())
        digest.update(np.ascontiguousarray(self.confidence_G).tobytes())
        return digest.hexdigest()

    def aligned(self, cells: list[str], tokens_of: np.ndarray, n_tokens: int) -> np.ndarray:
        """Velocities (cells, n_tokens), float32: NaN for cells or genes without a target, or of confidence 0.

        `tokens_of` is the token of each of `genes`, -1 where the vocabulary has none.
        """
        row_of = {cell: row for row, cell in enumerate(self.cells)}
        rows = np.array([row_of.get(cell, -1) for cell in cells], np.int64)
        known = (tokens_of >= 0) & (self.confidence_G > 0)
        out = np.full((len(cells), n_tokens), np.nan, np.float32)
        found = np.flatnonzero(rows >= 0)
        out[np.ix_(found, tokens_of[known])] = self.velocity_NG[np.ix_(rows[found], np.flatnonzero(known))]
        return out
