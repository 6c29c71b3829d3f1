"""The table of the expression decoder: counts hidden from held-out studies, against baselines that cost nothing.

A quarter of the (cell, gene) pairs of each test study is hidden, zeros among them. Values are log1p of counts scaled
to 10,000 spliced + unspliced counts a cell. Shape suffix legend: N = cells, Q = asked genes, L = layers.
"""

from collections.abc import Sequence

import numpy as np
import torch

from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.errors import UserMistake
from velocorpus.evaluation.metrics import pearson
from velocorpus.evaluation.table import Table, Value
from velocorpus.model.expression import ExpressionDecoder, expected_log
from velocorpus.model.pretrained import Pretrained
from velocorpus.training.finetune_expression import MaskedStudy, answer, masked_studies
from velocorpus.training.studies import LAYERS, dense, sizes, split_studies

COLUMNS = (
    "layer",
    "method",
    "MSE hidden",
    "MAE hidden",
    "MSE shown",
    "MAE shown",
    "Pearson per gene",
    "Pearson per cell",
    "variance ratio",
    "MSE / per-gene mean",
)
OURS = "velocorpus"
TARGET = 1e4
_TRAINING_CELLS = 300  # of each training study, for the baselines
_CHUNK = 64


def evaluate_expression(
    model: Pretrained, corpus: Corpus, *, split: str = "test", seed: int = 0, device: torch.device | str = "cpu"
) -> Table:
    """Score the decoder and the baselines over the cells of a split; the mask is drawn from `seed`."""
    model.expect("expression").expect_genes(corpus.genes)
    encoder = model.encoder()
    decoder = ExpressionDecoder(len(model.genes), encoder.config.d_model)
    model.load_into(decoder, "decoder")
    decoder.eval()
    studies = masked_studies(encoder, split_studies(corpus, split, max_cells=1000, seed=seed), seed + 7, device)
    if not studies:
        raise UserMistake(f"The corpus has no cells in its {split} split; name its studies in the configuration.")
    genes_Q = np.flatnonzero(corpus.genes.kept)
    training = split_studies(corpus, "train", max_cells=_TRAINING_CELLS, seed=seed)
    learned = np.concatenate([log_values(cells, genes_Q) for cells in training.values()])
    true = np.concatenate([log_values(study.cells, genes_Q) for study in studies])
    hidden = np.concatenate([study.hidden_NG[:, genes_Q] for study in studies])
    ours = np.concatenate([predict(decoder, study, genes_Q, device) for study in studies])
    local = np.concatenate([_study_means(study, genes_Q) for study in studies])
    near = np.concatenate([_smoothed(study, genes_Q) for study in studies])
    rows: list[tuple[Value, ...]] = []
    for i, layer in enumerate(LAYERS):
        x = learned[:, :, i]
        shape = true.shape[:2]
        predictions = {
            "constant mean": np.full(shape, x.mean()),
            "constant median": np.full(shape, np.median(x)),
            "per-gene mean": np.broadcast_to(x.mean(axis=0), shape),
            "per-gene median": np.broadcast_to(np.median(x, axis=0), shape),
            "per-gene mean of the study itself": local[:, :, i],
            "mean of nearest neighbours": near[:, :, i],
            OURS: ours[:, :, i],
        }
        base = float(((predictions["per-gene mean"] - true[:, :, i]) ** 2)[hidden].mean())
        rows += [(layer, name, *_scores(p, true[:, :, i], hidden, base)) for name, p in predictions.items()]
    return Table("Expression on studies never seen", COLUMNS, tuple(rows), _note(studies, len(genes_Q)))


def log_values(cells: Cells, genes_Q: np.ndarray) -> np.ndarray:
    """log1p of counts scaled to `TARGET`, (N, Q, L) float32."""
    counts = dense(cells, np.arange(len(cells)), genes_Q)
    return np.log1p(counts * (TARGET / np.maximum(sizes(cells), 1))[:, None, None])


@torch.no_grad()
def predict(
    decoder: ExpressionDecoder, study: MaskedStudy, genes_Q: np.ndarray, device: torch.device | str = "cpu"
) -> np.ndarray:
    """The decoder's expected log values (N, Q, L)."""
    scale_N = torch.from_numpy((TARGET / np.maximum(sizes(study.cells), 1)).astype(np.float32))
    parts = []
    for start in range(0, len(study.cells), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(study.cells)))
        mean_BQL, log_dispersion_QL = answer(decoder, study, rows, genes_Q, device)
        scale = scale_N[start : start + _CHUNK, None, None]
        parts.append(expected_log(mean_BQL.cpu(), log_dispersion_QL.cpu().expand_as(mean_BQL), scale).numpy())
    return np.concatenate(parts)


def _study_means(study: MaskedStudy, genes_Q: np.ndarray) -> np.ndarray:
    """Each gene's mean log value over the study's cells that show it."""
    shown = ~study.hidden_NG[:, genes_Q][:, :, None]
    values = log_values(study.cells, genes_Q)
    mean = (values * shown).sum(axis=0) / np.maximum(shown.sum(axis=0), 1)
    return np.broadcast_to(mean, values.shape)


def _smoothed(study: MaskedStudy, genes_Q: np.ndarray) -> np.ndarray:
    """The mean log value over the nearest cells that show the gene."""
    shown = ~study.hidden_NG[:, genes_Q]
    values = log_values(study.cells, genes_Q) * shown[:, :, None]
    near = study.context.neighbours_NK
    out = np.empty_like(values)
    for row, around in enumerate(near):
        out[row] = values[around].sum(axis=0) / np.maximum(shown[around].sum(axis=0), 1)[:, None]
    return out


def _scores(predicted: np.ndarray, true: np.ndarray, hidden: np.ndarray, base: float) -> list[Value]:
    error = predicted - true
    masked_true, masked = np.where(hidden, true, np.nan), np.where(hidden, predicted, np.nan)
    per_gene = [_pearson(masked[:, g], masked_true[:, g]) for g in range(true.shape[1])]
    per_cell = [_pearson(masked[n], masked_true[n]) for n in range(len(true))]
    ratio = np.nanvar(masked, axis=0).mean() / np.nanvar(masked_true, axis=0).mean()
    mse = float((error[hidden] ** 2).mean())
    return [
        mse,
        float(np.abs(error[hidden]).mean()),
        float((error[~hidden] ** 2).mean()),
        float(np.abs(error[~hidden]).mean()),
        _mean(per_gene),
        _mean(per_cell),
        float(ratio),
        mse / base,
    ]


def _pearson(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    return float(pearson(a[both], b[both], axis=0)) if both.sum() > 2 else float("nan")


def _mean(values: Sequence[float]) -> float | None:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else None


def _note(studies: Sequence[MaskedStudy], n_genes: int) -> str:
    n_cells = sum(len(study.cells) for study in studies)
    return (
        f"{len(studies)} studies, {n_cells} cells, {n_genes} genes; {studies[0].hidden_share:.0%} of the (cell, gene) "
        "pairs hidden. Log values: log1p of counts per 10,000 of the cell. Correlations and the ratio of predicted to "
        "true variance per gene are over hidden pairs. Means and medians are of training studies."
    )
