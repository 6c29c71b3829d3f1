"""How pretraining is judged while it goes: on cells of the validation studies, in batches of one study each.

The losses, and how a cell's spliced view is found from its unspliced view among the batch: `retrieval_top1` (chance is
`retrieval_chance`) and `retrieval_rank` (the mean share of the other cells that are farther; chance is 0.5).
"""

import math
from typing import Any

import numpy as np
import torch

from velocorpus import names
from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch
from velocorpus.data.tokens import batch_of
from velocorpus.training.loop import step_rng
from velocorpus.training.objective import Pretraining

VALIDATION_CELLS = 512
COLLAPSED = -0.05  # uniformity above this; cells spread evenly on a sphere of many dimensions come to -4


def validation_batches(corpus: Corpus, batch_cells: int, tokens: dict[str, Any]) -> list[CellBatch]:
    """The same cells of the validation studies each time: about `VALIDATION_CELLS`, each batch of one study."""
    cells = corpus.read("validation", layers=tokens["modalities"])
    study_of = cells.obs[names.STUDY].to_numpy(zero_copy_only=False).astype(str)
    studies = np.unique(study_of)
    batches = []
    for study in studies:
        rows = np.flatnonzero(study_of == study)
        n_pieces = max(1, min(len(rows), VALIDATION_CELLS // len(studies)) // batch_cells)
        chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), n_pieces * batch_cells)).astype(np.int64)]
        for piece in np.array_split(chosen, n_pieces):
            batches.append(batch_of(cells, piece, **tokens, rng=np.random.default_rng(0)))
    return batches


def validate(module: Pretraining, batches: list[CellBatch], device: torch.device | str) -> dict[str, float]:
    """Means over cells of the losses as in training (the same hidden genes each time), and of retrieval without."""
    sums: dict[str, float] = {}
    n_cells = sum(map(len, batches))
    for i, batch in enumerate(batches):
        batch = batch.to(device)
        values = {key: float(value) for key, value in module.loss(batch, step_rng(0, i)).items()}
        modalities = module.encoder.config.modalities[:2]
        if module.contrasts and len(modalities) > 1:
            views = module.contrast.project(module.encoder(batch))
            units = views.units()
            both_B = views.present[modalities[0]] & views.present[modalities[1]]
            a, b = (units[m][both_B] for m in modalities)
            top1, rank = retrieval(b, a)
            values |= {"retrieval_top1": top1, "retrieval_rank": rank, "retrieval_chance": 1 / max(1, len(a))}
        for key, value in values.items():
            sums[key] = sums.get(key, 0.0) + value * len(batch) / n_cells
    sums.pop("temperature", None)
    return sums


def retrieval(a_BD: torch.Tensor, b_BD: torch.Tensor) -> tuple[float, float]:
    """How well a cell's own `b` is found from its `a` among all cells, ties counted against.

    Gives the share of cells for which it is the nearest (chance: 1 / B), and the mean share of the other cells that are
    farther (chance: 1 / 2); zeros without cells.
    """
    if not len(a_BD):
        return 0.0, 0.0
    scores = a_BD @ b_BD.T
    own_B = scores.diagonal().clone()
    farther_B = (scores < own_B[:, None]).sum(1)
    others = max(1, len(a_BD) - 1)
    return float((farther_B == len(a_BD) - 1).float().mean()), float(farther_B.float().mean() / others)


def warning(values: dict[str, float], n_cells: int) -> str | None:
    """What the metrics of a step after warm-up give cause to say: outputs that have collapsed, retrieval by chance.

    `n_cells` were judged in the last validation; a mean rank within two standard errors of 1/2 is chance.
    """
    flat = [name for name, value in values.items() if name.startswith("uniformity_") and value > COLLAPSED]
    if flat:
        return f"the outputs have collapsed, {flat[0]} is {values[flat[0]]:.3g}"
    rank = values.get("validation_retrieval_rank")
    if rank is not None and rank < 0.5 + 2 / math.sqrt(12 * max(1, n_cells)):
        return f"on validation cells a view is found from the other no better than by chance (mean rank {rank:.3f})"
    return None
