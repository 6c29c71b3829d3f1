"""Fine-tune the generative decoder on transitions of a corpus' training studies."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from velocorpus import __version__
from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.pairs import N_FEATURES, PairBatch, PairStream, StudyPairs, study_pairs
from velocorpus.data.tokens import batch_of
from velocorpus.data.transitions import read_transitions
from velocorpus.files import sha256
from velocorpus.model.pretrained import Pretrained, load_pretrained, save_pretrained
from velocorpus.model.queries import memory_of
from velocorpus.model.trajectory import Decided, TrajectoryDecoder, trajectory_loss
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work
from velocorpus.training.loop import Schedule, train

KIND = "trajectory"
# The likelihood of counts teaches the scatter alone; it is large, and must not drown the mean.
_SCATTER_WEIGHT = 0.1
_VALIDATION_BATCHES = 8


def finetune_trajectory(
    model: Path,
    corpus: Path,
    transitions: Sequence[Path],
    out: Path,
    config: FinetuneConfig,
    *,
    resume: bool = False,
) -> None:
    """Train on the training studies, validate on the validation studies, write a self-contained model directory.

    The encoder stays as it is. With `resume`, go on from the last checkpoint of the same run.
    """
    pretrained, data = load_pretrained(model), Corpus(corpus)
    run = {
        "kind": KIND,
        "code_version": __version__,
        "corpus_digest": data.digest,
        "encoder_training": pretrained.training,
        "transitions": sorted(sha256(path) for path in transitions),
        "config": config.model_dump(),
    }
    folder = open_work(out, run, resume=resume)
    if folder is None:
        return
    encoder = pretrained.encoder()
    pairs = read_transitions(transitions)

    def encode(cells: Cells) -> torch.Tensor:
        return encode_cells(encoder, cells)

    torch.manual_seed(config.seed)
    decoder = TrajectoryDecoder(encoder.n_genes, encoder.config.d_model, N_FEATURES)
    held_out = _fixed_batches(study_pairs(data, pairs, "validation", encode), config)
    stream = PairStream(study_pairs(data, pairs, "train", encode), batch_pairs=config.batch_cells, seed=config.seed)
    metrics = train(
        decoder,
        stream,
        lambda batch, _: _losses(decoder, batch),
        Schedule.of(config),
        folder,
        validate=lambda: _validate(decoder, held_out),
        name="finetune trajectory",
    )
    save_pretrained(
        folder / "model",
        {"encoder": encoder, "decoder": decoder},
        {"kind": KIND, "encoder": encoder.config.model_dump()},
        pretrained.genes,
        {**run, "metrics": metrics},
    )
    finish(folder, out)


def load_trajectory(pretrained: Pretrained) -> tuple[Zorro, TrajectoryDecoder]:
    """The encoder and the generative decoder of a model directory, in evaluation mode."""
    encoder = pretrained.encoder()
    decoder = TrajectoryDecoder(encoder.n_genes, encoder.config.d_model, N_FEATURES)
    pretrained.load_into(decoder, "decoder")
    return encoder, decoder.eval()


@torch.no_grad()
def encode_cells(encoder: Zorro, cells: Cells, *, chunk: int = 256) -> torch.Tensor:
    """The memory (N, M, E) that decoders read, of all cells."""
    config = encoder.config
    n_cells = len(next(iter(cells.layers.values())).indptr) - 1
    parts = [
        batch_of(
            cells,
            np.arange(start, min(start + chunk, n_cells)),
            config.modalities,
            max_genes=config.max_genes,
            truncation="top",
            rng=np.random.default_rng(0),
        )
        for start in range(0, n_cells, chunk)
    ]
    return torch.cat([memory_of(encoder(part), config.modalities) for part in parts])


def _losses(decoder: TrajectoryDecoder, batch: PairBatch) -> dict[str, torch.Tensor]:
    shown = Decided(batch.shown_genes_R, batch.shown_features_BRF, batch.shown_values_BR2, batch.shown_z_BR2)
    predicted = decoder(
        batch.memory_BME, batch.genes_Q, batch.features_BQF, batch.step_B, shown if len(batch.shown_genes_R) else None
    )
    change, scatter = trajectory_loss(
        predicted,
        smoothed_BQ2=batch.smoothed_BQ2,
        deviation_Q2=batch.deviation_Q2,
        next_smoothed_BQ2=batch.next_smoothed_BQ2,
        next_counts_BQ2=batch.next_counts_BQ2,
        exposure_B=batch.exposure_B,
        weight_Q=batch.weight_Q,
    )
    return {"loss": change + _SCATTER_WEIGHT * scatter, "change": change, "scatter": scatter}


def _fixed_batches(studies: Sequence[StudyPairs], config: FinetuneConfig) -> list[PairBatch]:
    stream = iter(PairStream(studies, batch_pairs=config.batch_cells, seed=config.seed + 1))
    return [next(stream) for _ in range(_VALIDATION_BATCHES)]


def _validate(decoder: TrajectoryDecoder, batches: Sequence[PairBatch]) -> dict[str, float]:
    """Losses over fixed batches, and the loss of a decoder that says that nothing changes."""
    losses = [_losses(decoder, batch) for batch in batches]
    still = [((b.next_smoothed_BQ2 - b.smoothed_BQ2) / b.deviation_Q2).clamp(-4, 4) for b in batches]
    huber = [
        (torch.nn.functional.huber_loss(torch.zeros_like(x), x, reduction="none").mean(-1) * b.weight_Q).sum()
        / (b.weight_Q.sum() * len(b))
        for x, b in zip(still, batches, strict=True)
    ]
    means = {key: float(torch.stack([loss[key] for loss in losses]).mean()) for key in losses[0]}
    return {**means, "change_if_still": float(torch.stack(huber).mean())}
