"""Fine-tuning of the expression decoder: tell every gene's counts from what is left when some genes are hidden.

In each training study a share of the genes is taken out of the encoder's input, others in each study; the decoder is
asked for all of them. So it learns to read a program from other genes, not to copy.

Shape suffix legend: N = cells of a study, B = cells of a batch, Q = asked genes, G = gene tokens, L = layers,
M, D = tokens and dimension of the memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from velocorpus import __version__
from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.errors import UserMistake
from velocorpus.model.expression import ExpressionDecoder, expression_loss
from velocorpus.model.pretrained import Pretrained, save_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work, say
from velocorpus.training.loop import Schedule, train
from velocorpus.training.studies import (
    LAYERS,
    StudyBatch,
    StudyBatches,
    dense,
    encode,
    encoded,
    sizes,
    split_studies,
    without,
)

QUERY_GENES = 192
HIDDEN_SHARE = 0.25
MIN_CELLS = 10


@dataclass(frozen=True)
class MaskedStudy:
    """A study with some genes hidden: `shown` is what the encoder saw, `size_N` its guess of the cells' totals."""

    name: str
    cells: Cells
    shown: Cells
    hidden_G: np.ndarray  # bool
    size_N: np.ndarray  # float32
    memory_NMD: torch.Tensor


def finetune_expression(
    pretrained: Pretrained,
    corpus: Corpus,
    config: FinetuneConfig,
    out: Path,
    *,
    resume: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Train an expression decoder on the training studies; write its directory `out`; give the last metrics."""
    run = {
        "kind": "expression",
        "code_version": __version__,
        "corpus_digest": corpus.digest,
        "encoder_corpus_digest": pretrained.training.get("corpus_digest"),
        "finetune": config.model_dump(),
    }
    if pretrained.genes.digest != corpus.genes.digest:
        raise UserMistake(
            f"The model knows {len(pretrained.genes)} genes, the corpus {len(corpus.genes)} (other numbers): "
            "pretrain on this corpus, or give the corpus that the model was trained on."
        )
    folder = open_work(out, run, resume=resume)
    if folder is None:
        say("finetune expression: already finished")
        return {}
    encoder = pretrained.encoder().to(device)
    encoder.requires_grad_(config.train_encoder)
    parts = {split: split_studies(corpus, split, seed=config.seed) for split in ("train", "validation")}
    rate_GL = mean_rates([cells for cells in parts["train"].values() if len(cells)], len(corpus.genes))
    torch.manual_seed(config.seed)
    decoder = ExpressionDecoder(len(corpus.genes), encoder.config.d_model)
    decoder.start_from(torch.from_numpy(rate_GL))
    decoder.to(device)
    training, validation = (
        [
            masked_study(encoder, name, cells, rate_GL, np.random.default_rng([config.seed, number]), device)
            for number, (name, cells) in enumerate(parts[split].items())
            if len(cells) >= MIN_CELLS
        ]
        for split in ("train", "validation")
    )
    asked_Q = np.flatnonzero(rate_GL.sum(axis=1) > 0)
    say(f"finetune expression: {len(training)} training studies, {len(validation)} validation studies")
    batches = StudyBatches(
        [len(study.cells) for study in training],
        [asked_Q] * len(training),
        batch_cells=config.batch_cells,
        n_genes=QUERY_GENES,
        seed=config.seed,
    )

    def study_loss(study: MaskedStudy, rows_B: np.ndarray, genes_Q: np.ndarray, *, live: bool) -> torch.Tensor:
        memory_BMD = (
            encoded(encoder, study.shown, rows_B, device)
            if live
            else study.memory_NMD[torch.from_numpy(rows_B)].to(device)
        )
        size_B = torch.from_numpy(study.size_N[rows_B]).to(device)
        counts_BQL = torch.from_numpy(dense(study.cells, rows_B, genes_Q)).to(device)
        mean_BQL, log_dispersion_QL = decoder(memory_BMD, torch.from_numpy(genes_Q).to(device), size_B)
        return expression_loss(mean_BQL, log_dispersion_QL, counts_BQL)

    def loss(batch: StudyBatch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        return {"loss": study_loss(training[batch.study], batch.rows_B, batch.genes_Q, live=config.train_encoder)}

    def validate() -> dict[str, float]:
        found = [
            float(study_loss(study, np.arange(min(len(study.cells), 100)), asked_Q, live=False)) for study in validation
        ]
        return {"loss": float(np.mean(found))}

    metrics = train(
        nn.ModuleDict({"encoder": encoder, "decoder": decoder}),
        batches,
        loss,
        Schedule.of(config),
        folder,
        validate=validate if validation else None,
        device=device,
        name="finetune expression",
    )
    saved = {"kind": "expression", "encoder": encoder.config.model_dump(), "decoder": {"layers": list(LAYERS)}}
    record = run | {"metrics": metrics, "studies": [study.name for study in training]}
    save_pretrained(folder / "model", {"encoder": encoder, "decoder": decoder}, saved, corpus.genes, record)
    finish(folder, out)
    return metrics


def masked_study(
    encoder: Zorro,
    name: str,
    cells: Cells,
    rate_GL: np.ndarray,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
    *,
    hidden_share: float = HIDDEN_SHARE,
) -> MaskedStudy:
    """Hide a share of the genes of one study, drawn by `rng`, and encode what is left."""
    hidden_G = rng.random(len(rate_GL)) < hidden_share
    shown = without(cells, hidden_G)
    size_N = estimated_sizes(shown, hidden_G, rate_GL)
    return MaskedStudy(name, cells, shown, hidden_G, size_N, encode(encoder, shown, device=device))


def estimated_sizes(shown: Cells, hidden_G: np.ndarray, rate_GL: np.ndarray) -> np.ndarray:
    """Cells' totals over all genes, (N,) float32: those shown over the share that shown genes have on average."""
    share = rate_GL[~hidden_G].sum() / max(rate_GL.sum(), 1e-12)
    return (sizes(shown) / max(share, 1e-6)).astype(np.float32)


def mean_rates(studies: Sequence[Cells], n_genes: int) -> np.ndarray:
    """Counts of each gene and layer per count of a cell, (G, L) float32, a mean over studies of equal weight."""
    rates = []
    for cells in studies:
        sums_GL = np.stack(
            [
                np.bincount(cells.layers[layer].indices, weights=cells.layers[layer].data, minlength=n_genes)
                for layer in LAYERS
            ],
            axis=1,
        )
        rates.append(sums_GL / max(sums_GL.sum(), 1))
    if not rates:
        raise UserMistake("The corpus has no cells in its training split; check its studies and filter.")
    return np.mean(rates, axis=0).astype(np.float32)
