"""Trajectories from the cells of an AnnData: generated states as a new AnnData, and their picture.

Every cell of the AnnData must be of one study: its cells are the context that the decoder reads. A generated state's
`pseudotime` is the number of steps times their length, in shares of the study's time span, from its own start.
"""

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.data.context import StudyContext, study_context
from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.model.pretrained import Pretrained
from velocorpus.training.finetune_trajectory import load_trajectory
from velocorpus.training.studies import LAYERS, dense
from velocorpus.velocity.rollout import roll_out
from velocorpus.velocity.study import cells_in, check_layers

_CHUNK = 64


def generate(
    adata: ad.AnnData,
    model: Pretrained,
    *,
    start: str | None = None,
    trajectories: int = 50,
    steps: int = 10,
    step: float = 0.1,
    seed: int = 0,
) -> ad.AnnData:
    """Generate `trajectories` rollouts of `steps` steps from cells drawn among those that `start` names (COLUMN=VALUE).

    The result has one row a state: layers `spliced` and `unspliced` (int32, the model's genes), `X` = spliced, and in
    `obs` `trajectory`, `step`, `parent` (the row before; empty at the start), `start_cell`, `pseudotime`,
    `log_likelihood` (mean per generated count) and `nearest_cell` (the study's cell that is most like it).
    """
    check_layers(adata, LAYERS)
    rng = np.random.default_rng(seed)
    rows = rng.choice(starts := start_rows(adata, start), trajectories, replace=trajectories > len(starts))
    encoder, decoder = load_trajectory(model)
    cells = cells_in(adata, model.genes, LAYERS)
    context = study_context(*(cells.layers[layer] for layer in LAYERS))
    counts, obs = [], []
    every_gene = np.arange(len(model.genes))
    for first in range(0, trajectories, _CHUNK):
        part = rows[first : first + _CHUNK]
        states = roll_out(
            encoder, decoder, context, dense(cells, part, every_gene), n_steps=steps, step=step, seed=seed + first
        )
        for number, state in enumerate(states):
            counts.append(state.counts_BG2)
            obs.append(
                pd.DataFrame(
                    {
                        "trajectory": np.arange(first, first + len(part)),
                        "step": number,
                        "start_cell": adata.obs_names[part].astype(str),
                        names.PSEUDOTIME: number * step,
                        "log_likelihood": state.log_likelihood_B,
                        "nearest_cell": adata.obs_names[_nearest(context, state.counts_BG2)].astype(str),
                    }
                )
            )
    return _as_anndata(np.concatenate(counts), pd.concat(obs, ignore_index=True), model)


def start_rows(adata: ad.AnnData, start: str | None) -> np.ndarray:
    """Rows of the cells where COLUMN=VALUE holds, or all; refuses a column that is absent and a value that none has."""
    if start is None:
        return np.arange(adata.n_obs)
    column, _, value = start.partition("=")
    if column not in adata.obs:
        raise UserMistake(f"--start {start}: obs has no column '{column}'; it has {', '.join(adata.obs) or 'none'}.")
    rows = np.flatnonzero(adata.obs[column].astype(str) == value)
    if not len(rows):
        found = ", ".join(sorted(set(adata.obs[column].astype(str)))[:10])
        raise UserMistake(f"--start {start}: no cell has that value; '{column}' has {found}.")
    return rows


def draw_trajectories(
    adata: ad.AnnData, generated: ad.AnnData, path: Path | str, *, color: str | None = None, basis: str = "X_umap"
) -> None:
    """Draw the study's cells in its embedding and over them each trajectory, at the cells most like its states.

    `basis` is a key of `adata.obsm`; without it, the first two principal components of log-normalised spliced counts.
    """
    import matplotlib.pyplot as plt

    at = adata.obsm[basis][:, :2] if basis in adata.obsm else _principal_plane(adata)
    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    if color is None:
        axes.scatter(at[:, 0], at[:, 1], s=6, color="0.75", linewidths=0)
    elif pd.api.types.is_numeric_dtype(adata.obs[color]):
        axes.scatter(at[:, 0], at[:, 1], s=6, c=adata.obs[color], cmap="viridis", linewidths=0)
    else:
        for i, (name, group) in enumerate(adata.obs.groupby(color, observed=True)):
            here = at[adata.obs_names.get_indexer(group.index)]
            axes.scatter(here[:, 0], here[:, 1], s=6, color=f"C{i % 10}", label=name, alpha=0.4)
        axes.legend(fontsize=7, markerscale=2, frameon=False)
    place = at[adata.obs_names.get_indexer(generated.obs["nearest_cell"])]
    for _, states in generated.obs.reset_index(drop=True).groupby("trajectory"):
        line = _smoothed(place[states.sort_values("step").index])
        axes.plot(*line.T, color="black", linewidth=0.6, alpha=0.6)
        axes.annotate("", line[-1], line[-2], arrowprops={"arrowstyle": "->", "color": "black", "lw": 0.8})
    axes.set(xticks=[], yticks=[], title=f"{generated.obs['trajectory'].nunique()} generated trajectories")
    with replacing(path) as aside:
        figure.savefig(aside, dpi=120)
    plt.close(figure)


def _nearest(context: StudyContext, counts_BG2: np.ndarray) -> np.ndarray:
    size_B = context.depth / np.maximum(counts_BG2.sum((1, 2)), 1)
    return context.around((counts_BG2.sum(2) * size_B[:, None]).astype(np.float32))[:, 0]


def _as_anndata(counts_NG2: np.ndarray, obs: pd.DataFrame, model: Pretrained) -> ad.AnnData:
    order = np.lexsort((obs["step"], obs["trajectory"]))
    obs, counts_NG2 = obs.iloc[order].reset_index(drop=True), counts_NG2[order]
    obs.index = pd.Index([f"t{t}:{s}" for t, s in zip(obs["trajectory"], obs["step"], strict=True)], dtype=object)
    obs["parent"] = [f"t{t}:{s - 1}" if s else "" for t, s in zip(obs["trajectory"], obs["step"], strict=True)]
    genes = pd.DataFrame(
        {names.SYMBOL: list(model.genes.symbols)},
        index=pd.Index(model.genes.unique_ids(range(len(model.genes))), dtype=object),
    )
    adata = ad.AnnData(obs=obs, var=genes)
    for i, layer in enumerate(LAYERS):
        adata.layers[layer] = sparse.csr_matrix(counts_NG2[:, :, i].astype(np.int32))
    adata.X = adata.layers[names.SPLICED].copy()
    adata.uns[names.UNS] = {"kind": "trajectories", "corpus_digest": str(model.training.get("corpus_digest", ""))}
    return adata


def _principal_plane(adata: ad.AnnData) -> np.ndarray:
    x = sparse.csr_matrix(adata.layers[names.SPLICED]).toarray().astype(np.float64)
    x = np.log1p(1e4 * x / np.maximum(x.sum(1, keepdims=True), 1))
    left, singular, _ = np.linalg.svd(x - x.mean(0), full_matrices=False)
    return left[:, :2] * singular[:2]


def _smoothed(line: np.ndarray) -> np.ndarray:
    """A running mean of three points; the ends stay. The nearest cell jumps from step to step, the state does not."""
    if len(line) < 3:
        return line
    inner = (line[:-2] + line[1:-1] + line[2:]) / 3
    return np.concatenate([line[:1], inner, line[-1:]])
