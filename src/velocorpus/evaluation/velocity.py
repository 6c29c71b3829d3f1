"""The table of the velocity decoder: models and scVelo against the true velocities of held-out studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.context import study_context
from velocorpus.data.targets import StudyTargets
from velocorpus.errors import UserMistake
from velocorpus.evaluation.metrics import Moving, VelocityScores, moving, score_velocity
from velocorpus.evaluation.table import Table, Value
from velocorpus.model.pretrained import Pretrained
from velocorpus.training.studies import LAYERS, encode, split_studies
from velocorpus.velocity.inference import load_decoder, study_velocities

COLUMNS = (
    "study",
    "method",
    "cosine",
    "cosine z-scaled",
    "cosine rescaled",
    "Spearman per gene",
    "sign",
    "genes",
    "cosine, scVelo's genes",
    "z-scaled, scVelo's genes",
)
MEAN = "mean"


@dataclass(frozen=True)
class TestStudy:
    """A held-out study with its truth, genes in the tokens of the corpus."""

    name: str
    cells: Cells
    true_NG: np.ndarray
    moving: Moving


def evaluate_velocity(
    models: Mapping[str, Pretrained],
    corpus: Corpus,
    truths: Sequence[StudyTargets],
    scvelo: Sequence[StudyTargets],
    *,
    split: str = "test",
) -> Table:
    """Score models (by label) and scVelo's velocities on the studies of a split that `truths` cover.

    Rows: each study × method, then the means over studies. Genes and cells at rest in truth are left out and counted
    in the note; scVelo's own genes are those that its first row here fits with confidence.
    """
    for model in models.values():
        model.expect("velocity").expect_genes(corpus.genes)
    studies = [
        s for name, cells in split_studies(corpus, split).items() if (s := _with_truth(name, cells, corpus, truths))
    ]
    if not studies:
        raise UserMistake(f"None of the truths is of a study of the {split} split; give --truth for its studies.")
    kinds = sorted({t.kind for t in scvelo})
    rows: list[tuple[Value, ...]] = []
    scores: dict[str, list[list[float]]] = {}
    for study in studies:
        found: dict[str, np.ndarray] = {label: predict(model, study.cells) for label, model in models.items()}
        own_G = None
        for kind in kinds:
            predicted, confident_G = _scvelo_of(study, corpus, [t for t in scvelo if t.kind == kind])
            if predicted is None:
                continue
            found[kind] = predicted
            own_G = confident_G if own_G is None else own_G
        for method, predicted_NG in found.items():
            score = score_velocity(predicted_NG, study.true_NG, study.moving.genes_G, study.moving.cells_N)
            values = _values(score)
            if own_G is not None:
                own = score_velocity(predicted_NG, study.true_NG, study.moving.genes_G & own_G, study.moving.cells_N)
                values += [own.cosine_raw, own.cosine_z]
            else:
                values += [float("nan")] * 2
            scores.setdefault(method, []).append(values)
            rows.append((study.name, method, *map(_shown, values)))
    for method, several in scores.items():
        columns = np.array(several).T
        means = [np.nanmean(column) if np.isfinite(column).any() else np.nan for column in columns]
        rows.append((MEAN, method, *map(_shown, means)))
    return Table("Velocity on studies never seen, against the truth", COLUMNS, tuple(rows), _note(studies))


def predict(model: Pretrained, cells: Cells, device: torch.device | str = "cpu") -> np.ndarray:
    """A model's velocities of one study's cells, (N, tokens), NaN where a gene is not usable."""
    encoder, decoder = load_decoder(model)
    context = study_context(*(cells.layers[layer] for layer in LAYERS))
    memory = encode(encoder, cells, device=device)
    return study_velocities(decoder, context, memory, np.arange(len(model.genes)), device).velocity_NG


def _with_truth(name: str, cells: Cells, corpus: Corpus, truths: Sequence[StudyTargets]) -> TestStudy | None:
    ids = cells.obs["cell_id"].to_pylist()
    true_NG = np.full((len(cells), len(corpus.genes)), np.nan, np.float32)
    for truth in truths:
        aligned = truth.aligned(ids, corpus.genes.tokens(truth.genes), len(corpus.genes))
        true_NG = np.where(np.isnan(true_NG), aligned, true_NG)
    if np.isnan(true_NG).all():
        return None
    if np.isnan(true_NG).all(axis=1).any():
        raise UserMistake(f"Study {name}: some cells have no truth; give --truth for all of its samples.")
    true_NG = np.where(corpus.genes.kept, np.nan_to_num(true_NG), 0)
    csr = cells.layers[LAYERS[0]]
    mean_G = np.bincount(csr.indices, weights=csr.data, minlength=csr.n_genes) / len(cells)
    return TestStudy(name, cells, true_NG, moving(true_NG, mean_G))


def _scvelo_of(
    study: TestStudy, corpus: Corpus, targets: Sequence[StudyTargets]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """scVelo's velocities in corpus tokens over all genes that it fitted, and its own (confident) genes."""
    ids = study.cells.obs["cell_id"].to_pylist()
    for target in targets:
        tokens = corpus.genes.tokens(target.genes)
        fitted = StudyTargets(
            target.kind, target.cells, target.genes, target.velocity_NG, np.ones_like(target.confidence_G)
        )
        aligned = fitted.aligned(ids, tokens, len(corpus.genes))
        if np.isfinite(aligned).any():
            confident_G = np.zeros(len(corpus.genes), bool)
            confident_G[tokens[(tokens >= 0) & (target.confidence_G > 0)]] = True
            return aligned, confident_G
    return None, None


def _values(score: VelocityScores) -> list[float]:
    return [
        score.cosine_raw,
        score.cosine_z,
        score.cosine_rescaled,
        score.spearman,
        score.sign,
        float(score.n_genes),
    ]


def _shown(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _note(studies: Sequence[TestStudy]) -> str:
    resting = sum(int((~s.moving.cells_N).sum()) for s in studies)
    total = sum(len(s.cells) for s in studies)
    genes = ", ".join(f"{s.name} {int(s.moving.genes_G.sum())}" for s in studies)
    return (
        "Cosine: mean over cells with true ds/dt. z-scaled: every gene over the truth's standard deviation. Rescaled: "
        f"truth and prediction each over their own root mean square per gene. Left out: {resting} of {total} cells and "
        f"all genes at rest in truth (moving genes: {genes}). A gene that a method does not fit counts as 0."
    )
