"""Linear baselines for two views of the same cells: components, and the directions in which the views agree.

Shape suffix legend: N = cells, G = genes, D = components.
"""

from dataclasses import dataclass

import numpy as np

# Canonical directions are those of components' scores plus this share of the mean variance: few cells are overfitted.
RIDGE = 0.05

OWN = "PCA of the study itself"

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Components:
    """Principal components of some cells; further cells are projected onto them."""

    mean_G: np.ndarray
    axes_GD: np.ndarray

    @classmethod
    def of(cls, x_NG: np.ndarray, n: int) -> "Components":
        """The first `n` components, or as many as there are, exact: by eigenvectors of the smaller Gram matrix."""
        mean_G = x_NG.mean(axis=0)
        centred_NG = (x_NG - mean_G).astype(np.float64)
        if len(x_NG) > x_NG.shape[1]:
            return cls(mean_G, np.linalg.eigh(centred_NG.T @ centred_NG)[1][:, ::-1][:, :n])
        # One cell's direction is lost to the mean.
        left_ND = np.linalg.eigh(centred_NG @ centred_NG.T)[1][:, :0:-1][:, :n]
        axes_GD = centred_NG.T @ left_ND
        return cls(mean_G, axes_GD / np.linalg.norm(axes_GD, axis=0))

    def project(self, x_NG: np.ndarray) -> np.ndarray:
        """Scores (N, D), float64."""
        return (x_NG - self.mean_G) @ self.axes_GD


@dataclass(frozen=True)
class Canonical:
    """Canonical correlation of two views through their components (Hotelling 1936; ridge of Vinod 1976)."""

    components: tuple[Components, Components]
    turns: Pair  # (D, D) each; columns weighted by their correlation

    @classmethod
    def of(cls, a_NG: np.ndarray, b_NG: np.ndarray, n: int) -> "Canonical":
        """Fit on two views of the same cells with `n` components each."""
        components = Components.of(a_NG, n), Components.of(b_NG, n)
        scores = [part.project(x) for part, x in zip(components, (a_NG, b_NG), strict=True)]
        variances = [(s**2).mean(axis=0) for s in scores]
        scales = [1 / np.sqrt(v + RIDGE * v.mean()) for v in variances]
        crossed = (scores[0] * scales[0]).T @ (scores[1] * scales[1]) / len(a_NG)
        left, correlations, right = np.linalg.svd(crossed)
        n = len(correlations)
        turns = (
            scales[0][:, None] * left[:, :n] * np.sqrt(correlations),
            scales[1][:, None] * right[:n].T * np.sqrt(correlations),
        )
        return cls(components, turns)

    def project(self, a_NG: np.ndarray, b_NG: np.ndarray) -> Pair:
        """Both views in the common space, (N, D) each: their products weigh each direction by its correlation."""
        pairs = zip(self.components, self.turns, (a_NG, b_NG), strict=True)
        a, b = (part.project(x) @ turn for part, turn, x in pairs)
        return a, b


@dataclass(frozen=True)
class Baselines:
    """Linear models of log counts (N, G, 2) of training studies, of a given dimension."""

    both: Components
    layers: tuple[Components, Components]
    canonical: Canonical
    n: int

    @classmethod
    def of(cls, x_NG2: np.ndarray, n: int) -> "Baselines":
        """Fit on the cells of the training studies, with `n` components."""
        spliced, unspliced = x_NG2[:, :, 0], x_NG2[:, :, 1]
        layers = Components.of(spliced, n), Components.of(unspliced, n)
        return cls(Components.of(_beside(x_NG2), n), layers, Canonical.of(spliced, unspliced, n), n)

    def views(self, x_NG2: np.ndarray) -> dict[str, list[Pair]]:
        """Views to be found from each other, as one pair of all cells, or a pair for either half of them."""
        spliced, unspliced = x_NG2[:, :, 0], x_NG2[:, :, 1]
        halves = np.array_split(np.arange(len(x_NG2)), 2)
        others = [Canonical.of(spliced[rows], unspliced[rows], self.n // 2) for rows in reversed(halves)]
        return {
            "same genes, nothing learned": [(spliced, unspliced)],
            "PCA of spliced, both layers on it": [(self.layers[0].project(spliced), self.layers[0].project(unspliced))],
            "PCA + CCA": [self.canonical.project(spliced, unspliced)],
            "PCA + CCA of the study's other half, among a half": [
                canonical.project(spliced[rows], unspliced[rows])
                for canonical, rows in zip(others, halves, strict=True)
            ],
        }

    def outputs(self, x_NG2: np.ndarray) -> dict[str, np.ndarray]:
        """Representations of the cells, (N, D)."""
        both = _beside(x_NG2)
        return {
            "PCA of both layers": self.both.project(both),
            "PCA of spliced": self.layers[0].project(x_NG2[:, :, 0]),
            "PCA of unspliced": self.layers[1].project(x_NG2[:, :, 1]),
            OWN: Components.of(both, self.n).project(both),
        }


def _beside(x_NG2: np.ndarray) -> np.ndarray:
    return x_NG2.reshape(len(x_NG2), -1)
