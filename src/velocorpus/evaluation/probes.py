"""What a representation of cells knows, asked within one study: other views, labels, time. Arrays in, figures out.

Shape suffix legend: N = cells, D = dimensions of a representation, T = targets.
"""

import numpy as np

NEIGHBOURS = 30
FOLDS = 5


def retrieval(a_ND: np.ndarray, b_ND: np.ndarray) -> tuple[float, float]:
    """How well a cell's own `b` is found from its `a` among all N cells, ties counted against, by the inner product.

    Gives the share of cells for which it ranks first (chance: 1 / N), and the mean share of the other cells that rank
    behind it (chance: 1 / 2).
    """
    scores_NN = a_ND @ b_ND.T
    behind_N = (scores_NN < scores_NN.diagonal()[:, None]).sum(axis=1)
    others = max(1, len(a_ND) - 1)
    return float((behind_N == len(a_ND) - 1).mean()), float(behind_N.mean() / others)


def directions(x_ND: np.ndarray) -> np.ndarray:
    """The cells of a study about their mean, each of unit length."""
    x = x_ND - x_ND.mean(axis=0)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)


def label_accuracy(x_ND: np.ndarray, labels_N: np.ndarray, *, seed: int) -> float:
    """Balanced accuracy of logistic regression on standardised outputs, over cells left out fold by fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    return float(balanced_accuracy_score(labels_N, cross_val_predict(probe, x_ND, labels_N, cv=folds)))


def explained(x_ND: np.ndarray, targets_NT: np.ndarray, *, seed: int) -> float:
    """R² of ridge regression on standardised outputs, over cells left out fold by fold, mean over targets."""
    from sklearn.linear_model import RidgeCV
    from sklearn.metrics import r2_score
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 4, 11)))
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return float(r2_score(targets_NT, cross_val_predict(probe, x_ND, targets_NT, cv=folds)))


def time_targets(time_N: np.ndarray, *, is_cycle: bool) -> np.ndarray:
    """Times as targets (N, T): as they are, or on a cycle (whose end is its start) the cosine and sine of the phase."""
    if not is_cycle:
        return time_N[:, None]
    phase_N = 2 * np.pi * time_N / time_N.max()
    return np.stack([np.cos(phase_N), np.sin(phase_N)], axis=1)


def mixing(x_ND: np.ndarray, groups_N: np.ndarray) -> float:
    """How many groups the `NEIGHBOURS` nearest cells come from (inverse Simpson index), mean over cells.

    From 0, each cell among its own group, to 1, all groups alike: the iLISI of Luecken et al. 2022, its neighbours
    weighted equally.
    """
    from sklearn.neighbors import NearestNeighbors

    names, at_N = np.unique(groups_N, return_inverse=True)
    near_NK = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(x_ND).kneighbors(return_distance=False)
    shares = np.stack([(at_N[near_NK] == group).mean(axis=1) for group in range(len(names))], axis=1)
    return float(((1 / (shares**2).sum(axis=1)).mean() - 1) / max(len(names) - 1, 1))


def interval(values: np.ndarray, *, seed: int, draws: int = 2000) -> tuple[float, float]:
    """95 % of the means of studies drawn with replacement (percentile bootstrap); one study has no interval."""
    if len(values) < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)
