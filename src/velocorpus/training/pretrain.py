"""Pretraining of the encoder: contrast of its views, and hidden counts, on a corpus' training studies.

Judged on the validation studies, in batches of one study each: the losses, and how a cell's spliced view is found from
its unspliced view among the batch: `retrieval_top1` (chance is `retrieval_chance`) and `retrieval_rank` (the mean share
of the other cells that are farther; chance is 0.5).
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from velocorpus import __version__, names
from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.corpus.reader import Corpus
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.data.batch import CellBatch
from velocorpus.data.loader import Loader
from velocorpus.data.tokens import batch_of
from velocorpus.errors import UserMistake
from velocorpus.model.heads import Contrast, MaskedExpression
from velocorpus.model.losses import alignment_uniformity
from velocorpus.model.pretrained import save_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work, say
from velocorpus.training.corrupt import corrupt
from velocorpus.training.loop import Schedule, step_rng, train
from velocorpus.training.within_study import StudyBatches

VALIDATION_CELLS = 512


class Pretraining(nn.Module):
    """The encoder with the heads that pretrain it."""

    def __init__(self, model: ModelConfig, pretrain: PretrainConfig, genes: Vocabulary) -> None:
        super().__init__()
        self.config = pretrain
        self.encoder = Zorro(model, len(genes))
        self.contrast = Contrast(model.modalities, model.d_model)
        self.masked = MaskedExpression(model.modalities, len(genes), model.d_model, shares(genes, model.modalities))

    def loss(self, batch: CellBatch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """The weighted sum, "loss", and its parts. A part whose weight is 0 is not computed."""
        weights = self.config
        model = self.encoder.config
        batch, hidden = corrupt(
            batch,
            model.modalities,
            mask_rate=weights.mask_rate if weights.masked_weight else 0.0,
            unknown_rate=model.unknown_rate if self.training else 0.0,
            rng=rng,
        )
        output = self.encoder(batch, hidden)
        values: dict[str, torch.Tensor] = {}
        total = output.fusion_tokens_BFD.sum() * 0
        if weights.contrastive_weight:
            values |= self.contrast(output)
            total = total + weights.contrastive_weight * values["contrastive"]
        if weights.masked_weight:
            values |= self.masked(output, batch, hidden)
            total = total + weights.masked_weight * values["masked"]
        return {"loss": total, **values}


def shares(genes: Vocabulary, modalities: tuple[str, ...]) -> dict[str, torch.Tensor] | None:
    """Each gene's share of the corpus' counts per modality; None without totals."""
    if any(names.total_of(m) not in genes.totals for m in modalities):
        return None
    totals = {m: torch.from_numpy(genes.totals[names.total_of(m)] + 0.5) for m in modalities}
    return {m: total / total.sum() for m, total in totals.items()}


def pretrain(
    corpus_dir: Path | str,
    model: ModelConfig,
    pretrain: PretrainConfig,
    out: Path | str,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
) -> None:
    """Pretrain an encoder on a corpus and write its directory to `out`, which appears only when it is whole.

    With `resume` a run that was killed goes on from its last checkpoint in `out`.partial, to the same bits on a
    CPU, and a finished one is left as it is.
    """
    if not (pretrain.contrastive_weight or pretrain.masked_weight):
        raise UserMistake("contrastive_weight and masked_weight are both 0: give at least one of them a weight.")
    corpus = Corpus(corpus_dir)
    config = {"model": model.model_dump(mode="json"), "pretrain": pretrain.model_dump(mode="json")}
    run = {"kind": "encoder", "corpus_digest": corpus.digest, "code_version": __version__, "config": config}
    folder = open_work(out, run, resume=resume)
    if folder is None:
        say(f"pretrain: {out} is finished, nothing to be done")
        return
    tokens: dict[str, Any] = {
        "modalities": model.modalities,
        "max_genes": model.max_genes,
        "truncation": model.truncation,
    }
    torch.manual_seed(pretrain.seed)
    module = Pretraining(model, pretrain, corpus.genes).to(device)
    stream = StudyBatches if pretrain.batches == "study" else Loader
    loader = stream(corpus, "train", batch_cells=pretrain.batch_cells, seed=pretrain.seed, **tokens)
    held_out = validation_batches(corpus, pretrain.batch_cells, tokens)
    if not held_out:
        say("pretrain: the corpus has no validation cells, so nothing is validated")
    metrics = train(
        module,
        loader,
        module.loss,
        Schedule.of(pretrain),
        folder,
        validate=(lambda: validate(module, held_out, device)) if held_out else None,
        device=device,
        name="pretrain",
        shown=("loss", "contrastive", "masked", "validation_loss", "validation_retrieval_rank"),
    )
    parts = {"encoder": module.encoder, "contrast": module.contrast, "masked": module.masked}
    training = {**run, "metrics": metrics, "n_parameters": sum(p.numel() for p in module.encoder.parameters())}
    save_pretrained(folder / "model", parts, {"kind": "encoder", "encoder": config["model"]}, corpus.genes, training)
    finish(folder, out)


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
        if module.config.contrastive_weight and len(module.encoder.config.modalities) > 1:
            views = module.contrast.views(module.encoder(batch))
            a, b = (views[m] for m in module.encoder.config.modalities[:2])
            alignment, uniformity = alignment_uniformity(a, b)
            top1, rank = retrieval(b, a)
            values |= {
                "retrieval_top1": top1,
                "retrieval_rank": rank,
                "retrieval_chance": 1 / len(batch),
                "alignment": float(alignment),
                "uniformity": float(uniformity),
            }
        for key, value in values.items():
            sums[key] = sums.get(key, 0.0) + value * len(batch) / n_cells
    sums.pop("temperature", None)
    return sums


def retrieval(a_BD: torch.Tensor, b_BD: torch.Tensor) -> tuple[float, float]:
    """How well a cell's own `b` is found from its `a` among all cells, ties counted against.

    Gives the share of cells for which it is the nearest (chance: 1 / B), and the mean share of the other cells that are
    farther (chance: 1 / 2).
    """
    scores = a_BD @ b_BD.T
    own_B = scores.diagonal().clone()
    farther_B = (scores < own_B[:, None]).sum(1)
    others = max(1, len(a_BD) - 1)
    return float((farther_B == len(a_BD) - 1).float().mean()), float(farther_B.float().mean() / others)
