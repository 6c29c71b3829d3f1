"""Fine-tuning of the expression decoder: tell the counts that were hidden from a cell.

In each training study a share of the (cell, gene) pairs is hidden, zeros among them, from the encoder and from the
study's context alike, as dropout would; the decoder is asked for hidden and shown ones.

Shape suffix legend: N = cells of a study, B = cells of a batch, Q = asked genes, G = gene tokens, L = layers,
M, D = tokens and dimension of the memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.context import StudyContext, study_context
from velocorpus.model.expression import ExpressionDecoder, expression_loss
from velocorpus.model.pretrained import Pretrained, save_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work, say
from velocorpus.training.loop import Schedule, gradients_of, train
from velocorpus.training.provenance import finetuning
from velocorpus.training.studies import (
    LAYERS,
    StudyBatch,
    StudyBatches,
    dense,
    encode,
    encoded,
    split_studies,
    without,
)

QUERY_GENES = 96
MAX_CELLS = 1000  # of one study: a mask of cells x genes is held
HIDDEN_SHARE = 0.25
MIN_CELLS = 10


@dataclass(frozen=True)
class MaskedStudy:
    """A study with some counts hidden; `context` and `memory_NMD` come from what is left."""

    name: str
    cells: Cells
    hidden_NG: np.ndarray  # bool
    hidden_share: float
    context: StudyContext
    memory_NMD: torch.Tensor
    shown: Cells

    def base(self, rows_B: np.ndarray, genes_Q: np.ndarray) -> np.ndarray:
        """Mean counts of genes in the study times the cells' exposures, hidden ones made up for: (B, Q, L) float32."""
        size_B = self.context.size_N[rows_B]
        exposure_B = np.divide(1, size_B, out=np.zeros_like(size_B), where=size_B > 0)
        mean_Q2 = np.maximum(self.context.mean_G2[genes_Q], 1e-4) / (1 - self.hidden_share)
        return (exposure_B[:, None, None] * mean_Q2).astype(np.float32)


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
    run = finetuning("expression", pretrained, corpus, config)
    folder = open_work(out, run, resume=resume)
    if folder is None:
        say("finetune expression: already finished")
        return {}
    encoder = pretrained.encoder().to(device)
    encoder.requires_grad_(config.train_encoder)
    torch.manual_seed(config.seed)
    decoder = ExpressionDecoder(len(corpus.genes), encoder.config.d_model).to(device)
    training, validation = (
        masked_studies(
            encoder, split_studies(corpus, split, max_cells=MAX_CELLS, seed=config.seed), config.seed, device
        )
        for split in ("train", "validation")
    )
    say(f"finetune expression: {len(training)} training studies, {len(validation)} validation studies")
    batches = StudyBatches(
        [len(study.cells) for study in training],
        [np.flatnonzero(study.context.usable_G) for study in training],
        batch_cells=config.batch_cells,
        n_genes=QUERY_GENES,
        seed=config.seed,
    )

    def study_loss(study: MaskedStudy, rows_B: np.ndarray, genes_Q: np.ndarray, *, live: bool) -> torch.Tensor:
        live_BMD = encoded(encoder, study.shown, rows_B, device) if live else None
        mean_BQL, log_dispersion_QL = answer(decoder, study, rows_B, genes_Q, device, live_BMD)
        counts_BQL = torch.from_numpy(dense(study.cells, rows_B, genes_Q)).to(device)
        hidden_BQ = torch.from_numpy(study.hidden_NG[np.ix_(rows_B, genes_Q)]).to(device)
        return expression_loss(mean_BQL, log_dispersion_QL, counts_BQL, hidden_BQ)

    def loss(batch: StudyBatch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        return {"loss": study_loss(training[batch.study], batch.rows_B, batch.genes_Q, live=config.train_encoder)}

    def validate() -> dict[str, float]:
        found = [
            float(
                study_loss(
                    study, np.arange(min(len(study.cells), 100)), np.flatnonzero(study.context.usable_G), live=False
                )
            )
            for study in validation
        ]
        return {"loss": float(np.mean(found))}

    metrics = train(
        nn.ModuleDict({"encoder": encoder, "decoder": decoder}),
        batches,
        gradients_of(loss, config.seed),
        Schedule.of(config),
        folder,
        validate=validate if validation else None,
        name="finetune expression",
    )
    saved = {"kind": "expression", "encoder": encoder.config.model_dump(), "decoder": {"layers": list(LAYERS)}}
    record = run | {"metrics": metrics, "studies": [study.name for study in training]}
    save_pretrained(folder / "model", {"encoder": encoder, "decoder": decoder}, saved, corpus.genes, record)
    finish(folder, out)
    return metrics


def answer(
    decoder: ExpressionDecoder,
    study: MaskedStudy,
    rows_B: np.ndarray,
    genes_Q: np.ndarray,
    device: torch.device | str = "cpu",
    live_BMD: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The decoder's mean counts (B, Q, L) and log dispersions (Q, L) for some cells and genes of a study."""
    mean_BQL, log_dispersion_QL = decoder(
        live_BMD if live_BMD is not None else study.memory_NMD[torch.from_numpy(rows_B)].to(device),
        torch.from_numpy(genes_Q).to(device),
        torch.from_numpy(study.context.features(rows_B, genes_Q)).to(device),
        torch.from_numpy(study.context.statistics(genes_Q)).to(device),
        torch.from_numpy(study.base(rows_B, genes_Q)).to(device),
    )
    return mean_BQL, log_dispersion_QL


def masked_studies(
    encoder: Zorro, studies: Mapping[str, Cells], seed: int, device: torch.device | str = "cpu"
) -> list[MaskedStudy]:
    """Mask each study that has cells and genes enough; those left out are said."""
    found = []
    for number, (name, cells) in enumerate(studies.items()):
        if len(cells) < MIN_CELLS:
            say(f"expression: study {name} is left out: {len(cells)} cells, {MIN_CELLS} are needed")
            continue
        study = masked_study(encoder, name, cells, np.random.default_rng([seed, number]), device)
        if not study.context.usable_G.any():
            say(f"expression: study {name} is left out: no gene has counts enough in both layers")
            continue
        found.append(study)
    return found


def masked_study(
    encoder: Zorro,
    name: str,
    cells: Cells,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
    *,
    hidden_share: float = HIDDEN_SHARE,
) -> MaskedStudy:
    """Hide a share of the (cell, gene) pairs of one study, drawn by `rng`; encode what is left."""
    hidden_NG = rng.random((len(cells), next(iter(cells.layers.values())).n_genes), dtype=np.float32) < hidden_share
    shown = without(cells, hidden_NG)
    context = study_context(*(shown.layers[layer] for layer in LAYERS))
    memory_NMD = encode(encoder, shown, device=device)
    return MaskedStudy(name, cells, hidden_NG, hidden_share, context, memory_NMD, shown)
