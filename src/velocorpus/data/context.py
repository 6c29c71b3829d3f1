"""The context of a study: what its cells together say about each gene, and about each cell's surroundings.

One cell alone hardly determines its velocity, a small difference of two large terms. What is missing is the study's:
the ratio of unspliced to spliced molecules of each gene at rest, and the manifold that its cells lie on. Both are
computed here, without any ODE: per-gene statistics, moments smoothed over the k nearest neighbours, and the
difference `u / mean(u) - s / mean(s)` projected onto the study's principal directions of smoothed expression.

Spliced and unspliced counts are scaled by their COMMON total per cell; scaling each by its own total would destroy
the cell's unspliced fraction. Everything is computed cell by cell or in chunks, so that memory stays at
`O(cells × neighbours + chunk × genes)`; the exact neighbour search costs `O(cells²)` time.

Shape suffix legend: N = cells of the study, B = cells of a chunk, G = genes (tokens), Q = asked genes,
K = neighbours, P = principal directions, F = features.
"""

from dataclasses import dataclass

import numpy as np
import torch

from velocorpus.compiled import compiled
from velocorpus.corpus.reader import CSR

NEIGHBOURS = 100
STATE_DIRECTIONS = 6
VELOCITY_DIRECTIONS = 12
_STATE_GENES = 2000
_REFERENCE_CELLS = 2000
_CHUNK = 256
# Below this mean (molecules a cell, after scaling to the study's median total) a gene's statistics are noise.
MIN_MEAN = 0.005

STATISTICS = (
    "log_mean_spliced",
    "log_mean_unspliced",
    "log_ratio",
    "cv_spliced",
    "cv_unspliced",
    "correlation",
    "log_slope",
    "detected_spliced",
    "detected_unspliced",
    "signal_spliced",
    "signal_unspliced",
    "log_depth",
    "unspliced_share",
    "log_neighbours",
)
CELL_FEATURES = (
    "spliced_z",
    "unspliced_z",
    "log_spliced",
    "log_unspliced",
    "imbalance",
    "residual",
    "imbalance_projected",
    "residual_projected",
    "spliced_z_projected",
    "unspliced_z_projected",
    "own_spliced",
    "own_unspliced",
)


@dataclass(frozen=True)
class StateSpace:
    """The principal directions of a study's expression, in which nearness of cells is measured."""

    genes_S: np.ndarray  # int64, the most variable genes
    mean_S: np.ndarray  # float64, of log1p of scaled s + u
    directions_SP: np.ndarray  # float64
    states_NP: np.ndarray  # float64, the study's own cells

    def project(self, total_BG: np.ndarray) -> np.ndarray:
        """States (B, P) of cells by their spliced + unspliced expression, scaled to the study's median depth."""
        return (np.log1p(total_BG[:, self.genes_S]) - self.mean_S) @ self.directions_SP


@dataclass(frozen=True)
class StudyContext:
    """The context of one study; `features` serves it to a decoder chunk by chunk.

    `statistics_GF` follows `STATISTICS`; `scale_G` is the standard deviation over cells of the smoothed spliced
    expression (molecules per cell of median depth), the unit in which decoders state velocities; `usable_G` is False
    where a gene is too rare in this study for a velocity.
    """

    spliced: CSR
    unspliced: CSR
    size_N: np.ndarray  # float32, multiply a cell's counts by it to bring it to the study's median total
    neighbours_NK: np.ndarray  # int64, the cell itself first
    statistics_GF: np.ndarray  # float32
    mean_G2: np.ndarray  # float32, spliced and unspliced
    deviation_G2: np.ndarray  # float32, of smoothed moments
    slope_G: np.ndarray  # float32, unspliced per spliced, through the origin
    usable_G: np.ndarray  # bool
    directions_GP: np.ndarray  # float32, zero rows where not usable
    depth: float  # median of the cells' spliced + unspliced totals
    space: StateSpace

    @property
    def scale_G(self) -> np.ndarray:
        """Standard deviation of smoothed spliced expression per gene, molecules per cell of median depth."""
        return self.deviation_G2[:, 0]

    def moments(self, rows_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed spliced and unspliced expression (B, G), float32, molecules per cell of median depth."""
        return self.moments_around(self.neighbours_NK[rows_B])

    def moments_around(self, around_BK: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same as `moments`, the mean over given cells of the study instead of a cell's own neighbours."""
        return (
            _smooth(self.spliced, self.size_N, around_BK),
            _smooth(self.unspliced, self.size_N, around_BK),
        )

    def own(self, rows_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cells' own spliced and unspliced expression (B, G), float32, scaled to the study's median depth."""
        return _dense(self.spliced, self.size_N, rows_B), _dense(self.unspliced, self.size_N, rows_B)

    def around(self, total_BG: np.ndarray) -> np.ndarray:
        """The study's cells nearest to any cells, generated ones too: (B, K); `total_BG` is scaled s + u."""
        k = self.neighbours_NK.shape[1]
        return _nearest_to(self.space.project(total_BG), self.space.states_NP, k)

    def features(self, rows_B: np.ndarray, genes_Q: np.ndarray) -> np.ndarray:
        """`CELL_FEATURES` of cells at genes: (B, Q, F), float32, each of order one."""
        return self.features_around(self.neighbours_NK[rows_B], self.own(rows_B), genes_Q)

    def features_around(
        self, around_BK: np.ndarray, own: tuple[np.ndarray, np.ndarray], genes_Q: np.ndarray
    ) -> np.ndarray:
        """The same as `features` for cells with given neighbours in the study and own expression (B, G) twice."""
        ms_BG, mu_BG = self.moments_around(around_BK)
        usable = np.flatnonzero(self.usable_G)
        parts = self._signals(ms_BG[:, usable], mu_BG[:, usable], usable)
        directions = self.directions_GP[usable]
        projected = [
            (parts[name] @ directions) @ directions.T for name in ("imbalance", "residual", "spliced_z", "unspliced_z")
        ]
        logs = [np.log1p(layer_BG[:, genes_Q]) for layer_BG in own]
        at = np.full(len(self.usable_G), -1)
        at[usable] = np.arange(len(usable))
        at_Q = at[genes_Q]
        picked = [(part[:, at_Q] * (at_Q >= 0)) for part in (*parts.values(), *projected)]
        return np.clip(np.stack([*picked, *logs], axis=-1), -6, 6).astype(np.float32)

    def statistics(self, genes_Q: np.ndarray) -> np.ndarray:
        """`STATISTICS` of genes: (Q, F), float32; all zero where the gene is not usable."""
        return self.statistics_GF[genes_Q]

    def _signals(self, ms_BQ: np.ndarray, mu_BQ: np.ndarray, genes_Q: np.ndarray) -> dict[str, np.ndarray]:
        mean, deviation = self.mean_G2[genes_Q], self.deviation_G2[genes_Q]
        relative_s, relative_u = ms_BQ / mean[:, 0], mu_BQ / mean[:, 1]
        cv = deviation[:, 0] / mean[:, 0]
        slope = self.slope_G[genes_Q] * mean[:, 0] / mean[:, 1]
        return {
            "spliced_z": (ms_BQ - mean[:, 0]) / deviation[:, 0],
            "unspliced_z": (mu_BQ - mean[:, 1]) / deviation[:, 1],
            "log_spliced": np.log(relative_s + 0.05),
            "log_unspliced": np.log(relative_u + 0.05),
            "imbalance": (relative_u - relative_s) / cv,
            "residual": (relative_u - slope * relative_s) / cv,
        }


def study_context(
    spliced: CSR, unspliced: CSR, *, n_neighbours: int = NEIGHBOURS, n_pcs: int = STATE_DIRECTIONS
) -> StudyContext:
    """Compute the context of one study from its raw counts, cells × gene tokens.

    `n_neighbours` is cut to a third of the cells. Refuses (ValueError) fewer than 3 cells or layers that disagree.
    """
    n = len(spliced.indptr) - 1
    if n < 3 or len(unspliced.indptr) - 1 != n or spliced.n_genes != unspliced.n_genes:
        raise ValueError(f"a study needs 3 cells or more and layers of one shape; got {n} cells")
    totals_N = _totals(spliced) + _totals(unspliced)
    depth = float(np.median(totals_N[totals_N > 0])) if (totals_N > 0).any() else 1.0
    size_N = np.divide(depth, totals_N, out=np.zeros(n), where=totals_N > 0).astype(np.float32)
    sums = _sums(
        spliced.indptr, spliced.indices, spliced.data,
        unspliced.indptr, unspliced.indices, unspliced.data, size_N, spliced.n_genes,
    )  # fmt: skip
    space = _principal_states(spliced, unspliced, size_N, sums, n_pcs)
    k = max(1, min(n_neighbours, n // 3))
    neighbours_NK = _nearest(space.states_NP, k)
    mean_G2 = (sums[:2] / n).T.astype(np.float32)
    usable_G = (mean_G2 >= MIN_MEAN).all(axis=1)
    context = StudyContext(
        spliced, unspliced, size_N, neighbours_NK, np.zeros((spliced.n_genes, len(STATISTICS)), np.float32),
        mean_G2, np.ones_like(mean_G2), np.zeros(spliced.n_genes, np.float32), usable_G,
        np.zeros((spliced.n_genes, 0), np.float32), depth, space,
    )  # fmt: skip
    return _with_statistics(context, sums, n, k, float(_totals(unspliced).sum() / max(totals_N.sum(), 1)))


def _with_statistics(context: StudyContext, sums: np.ndarray, n: int, k: int, unspliced_share: float) -> StudyContext:
    """Statistics of the smoothed moments over at most `_REFERENCE_CELLS` evenly spaced cells."""
    rows = np.unique(np.linspace(0, n - 1, min(n, _REFERENCE_CELLS)).astype(np.int64))
    genes = np.flatnonzero(context.usable_G)
    chunks = [context.moments(part) for part in np.array_split(rows, -(-len(rows) // _CHUNK))]
    ms = np.concatenate([chunk[0][:, genes] for chunk in chunks]).astype(np.float64)
    mu = np.concatenate([chunk[1][:, genes] for chunk in chunks]).astype(np.float64)
    mean_Q2 = context.mean_G2[genes].astype(np.float64)
    deviation_Q2 = np.stack([ms.std(0), mu.std(0)], 1) + 1e-2 * mean_Q2 + 1e-6
    correlation = ((ms - ms.mean(0)) * (mu - mu.mean(0))).mean(0) / deviation_Q2.prod(1)
    slope = (ms * mu).mean(0) / np.maximum((ms**2).mean(0), 1e-12)
    cv = deviation_Q2 / mean_Q2
    # Share of the smoothed variance that counting noise (Poisson, k cells averaged) does not explain.
    signal = 1 - np.clip(mean_Q2 / k / deviation_Q2**2, 0, 1)
    statistics = np.stack(
        [
            np.log(mean_Q2[:, 0]),
            np.log(mean_Q2[:, 1]),
            np.log(mean_Q2[:, 1] / mean_Q2[:, 0]),
            2 * cv[:, 0],
            2 * cv[:, 1],
            correlation,
            np.log(slope * mean_Q2[:, 0] / mean_Q2[:, 1] + 0.05),
            sums[4, genes] / n,
            sums[5, genes] / n,
            signal[:, 0],
            signal[:, 1],
            np.full(len(genes), np.log(context.depth) - 8),
            np.full(len(genes), 4 * unspliced_share),
            np.full(len(genes), np.log(k) - 4),
        ],
        1,
    )
    z = (ms - mean_Q2[:, 0]) / deviation_Q2[:, 0] * np.sqrt(signal[:, 0])
    n_directions = min(VELOCITY_DIRECTIONS, len(rows) - 1, len(genes))
    # Squares of singular values and right vectors through the smaller Gram matrix: exact, deterministic, cheap.
    directions = _right_vectors(z, n_directions)

    def spread(values: np.ndarray, empty: np.ndarray) -> np.ndarray:
        empty[genes] = values
        return empty

    g = context.spliced.n_genes
    return StudyContext(
        context.spliced, context.unspliced, context.size_N, context.neighbours_NK,
        spread(np.clip(statistics, -10, 10), np.zeros((g, len(STATISTICS)), np.float32)),
        context.mean_G2,
        spread(deviation_Q2, np.ones((g, 2), np.float32)),
        spread(slope, np.zeros(g, np.float32)),
        context.usable_G,
        spread(directions, np.zeros((g, directions.shape[1]), np.float32)),
        context.depth,
        context.space,
    )  # fmt: skip


def _right_vectors(x_NQ: np.ndarray, p: int) -> np.ndarray:
    """The p leading right singular vectors (Q, P) by the eigenvectors of the smaller Gram matrix."""
    if p <= 0:
        return np.zeros((x_NQ.shape[1], 0))
    if x_NQ.shape[0] >= x_NQ.shape[1]:
        return np.linalg.eigh(x_NQ.T @ x_NQ)[1][:, ::-1][:, :p]
    values, left = np.linalg.eigh(x_NQ @ x_NQ.T)
    singular = np.sqrt(np.maximum(values[::-1][:p], 1e-12))
    return x_NQ.T @ left[:, ::-1][:, :p] / singular


def _principal_states(spliced: CSR, unspliced: CSR, size_N: np.ndarray, sums: np.ndarray, n_pcs: int) -> StateSpace:
    """PCA of log1p of the scaled s + u on the most variable genes, chunked through the Gram matrix."""
    n = len(size_N)
    mean_G = sums[2] / n
    variance_G = sums[3] / n - mean_G**2
    genes = np.sort(np.argsort(-variance_G, kind="stable")[:_STATE_GENES])

    def chunk(start: int) -> torch.Tensor:
        rows = np.arange(start, min(start + _CHUNK, n))
        x = _dense(spliced, size_N, rows)[:, genes] + _dense(unspliced, size_N, rows)[:, genes]
        return torch.from_numpy(np.log1p(x) - mean_G[genes]).double()

    gram = sum(
        (x.T @ x for x in map(chunk, range(0, n, _CHUNK))),
        torch.zeros((len(genes), len(genes)), dtype=torch.float64),
    )
    directions = torch.linalg.eigh(gram)[1][:, -min(n_pcs, len(genes)) :]
    states = torch.cat([chunk(start) @ directions for start in range(0, n, _CHUNK)])
    return StateSpace(genes, mean_G[genes], directions.numpy(), states.numpy())


def _nearest(state_NP: np.ndarray, k: int) -> np.ndarray:
    """Exact k nearest neighbours by Euclidean distance, (N, k), the cell itself first."""
    states = torch.from_numpy(np.ascontiguousarray(state_NP))
    out = np.empty((len(state_NP), k), np.int64)
    for start in range(0, len(states), _CHUNK):
        distance = torch.cdist(states[start : start + _CHUNK], states)
        mine = torch.arange(len(distance))
        distance[mine, mine + start] = -1
        out[start : start + _CHUNK] = distance.topk(k, largest=False).indices.numpy()
    return out


def _nearest_to(points_BP: np.ndarray, state_NP: np.ndarray, k: int) -> np.ndarray:
    """The k cells of a study nearest to points that are none of its cells, (B, k)."""
    distance = torch.cdist(torch.from_numpy(points_BP), torch.from_numpy(np.ascontiguousarray(state_NP)))
    return distance.topk(k, largest=False).indices.numpy()


def _totals(layer: CSR) -> np.ndarray:
    cumulative = np.concatenate([[0], np.cumsum(layer.data, dtype=np.int64)])
    return (cumulative[layer.indptr[1:]] - cumulative[layer.indptr[:-1]]).astype(np.float64)


def _dense(layer: CSR, size_N: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    return _smooth(layer, size_N, rows_B[:, None])


def _smooth(layer: CSR, size_N: np.ndarray, around_BK: np.ndarray) -> np.ndarray:
    return np.asarray(_mean_of_rows(layer.indptr, layer.indices, layer.data, size_N, around_BK, layer.n_genes))


@compiled
def _mean_of_rows(indptr, indices, data, size, around, n_genes):  # type: ignore[no-untyped-def]
    out = np.zeros((around.shape[0], n_genes), np.float32)
    for b in range(around.shape[0]):
        for cell in around[b]:
            weight = size[cell] / around.shape[1]
            for i in range(indptr[cell], indptr[cell + 1]):
                out[b, indices[i]] += weight * data[i]
    return out


@compiled
def _sums(s_indptr, s_indices, s_data, u_indptr, u_indices, u_data, size, n_genes):  # type: ignore[no-untyped-def]
    """Per gene over cells: sum of s, of u, of log1p(s + u), of its square, cells with s > 0, cells with u > 0."""
    out = np.zeros((6, n_genes))
    cell_sum = np.zeros(n_genes)
    for cell in range(len(size)):
        for i in range(s_indptr[cell], s_indptr[cell + 1]):
            value = size[cell] * s_data[i]
            out[0, s_indices[i]] += value
            out[4, s_indices[i]] += 1
            cell_sum[s_indices[i]] += value
        for i in range(u_indptr[cell], u_indptr[cell + 1]):
            value = size[cell] * u_data[i]
            out[1, u_indices[i]] += value
            out[5, u_indices[i]] += 1
            cell_sum[u_indices[i]] += value
        for i in range(s_indptr[cell], s_indptr[cell + 1]):
            gene = s_indices[i]
            value = np.log1p(cell_sum[gene])
            out[2, gene] += value
            out[3, gene] += value * value
            cell_sum[gene] = 0.0
        for i in range(u_indptr[cell], u_indptr[cell + 1]):
            gene = u_indices[i]
            if cell_sum[gene] > 0:
                value = np.log1p(cell_sum[gene])
                out[2, gene] += value
                out[3, gene] += value * value
                cell_sum[gene] = 0.0
    return out
