"""Fine-tune the generative decoder on transitions of a corpus' training studies."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch

from velocorpus import names
from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Corpus
from velocorpus.data.pairs import N_FEATURES, PairBatch, PairStream, StudyPairs, study_pairs
from velocorpus.data.transitions import read_transitions
from velocorpus.errors import UserMistake
from velocorpus.files import existing, sha256
from velocorpus.model.pretrained import Pretrained, load_pretrained, save_pretrained
from velocorpus.model.trajectory import Decided, TrajectoryDecoder, trajectory_loss
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work, say
from velocorpus.training.loop import Schedule, gradients_of, train
from velocorpus.training.provenance import finetuning
from velocorpus.training.studies import encode, split_studies

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
    device: torch.device | str = "cpu",
) -> None:
    """Train on the training studies, validate on the validation studies, write a self-contained model directory.

    The encoder stays as it is. With `resume`, go on from the last checkpoint of the same run.
    """
    pretrained, data = load_pretrained(model), Corpus(corpus)
    if config.train_encoder:
        raise UserMistake("finetune.trajectory.train_encoder must be false: this decoder learns on a fixed encoder.")
    digests = sorted(sha256(existing(path, "table of transitions")) for path in transitions)
    run = finetuning(KIND, pretrained, data, config, transitions=digests)
    folder = open_work(out, run, resume=resume)
    if folder is None:
        return
    encoder = pretrained.encoder().to(device)
    table = read_transitions(transitions)
    torch.manual_seed(config.seed)
    decoder = TrajectoryDecoder(encoder.n_genes, encoder.config.d_model, N_FEATURES).to(device)
    held_out = [
        batch.to(device) for batch in _fixed_batches(_studies(data, "validation", table, encoder, device), config)
    ]
    taught = _studies(data, "train", table, encoder, device)
    if not taught:
        raise UserMistake(
            f"No pair of the transitions has both cells in the training split of {corpus}; "
            "give transitions of its studies."
        )
    stream = PairStream(taught, batch_pairs=config.batch_cells, seed=config.seed)
    metrics = train(
        decoder,
        stream,
        gradients_of(lambda batch, _: _losses(decoder, batch), config.seed),
        Schedule.of(config),
        folder,
        validate=(lambda: _validate(decoder, held_out)) if held_out else None,
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
    encoder = pretrained.expect(KIND).encoder()
    decoder = TrajectoryDecoder(encoder.n_genes, encoder.config.d_model, N_FEATURES)
    pretrained.load_into(decoder, "decoder")
    return encoder, decoder.eval()


def _studies(
    corpus: Corpus, split: str, transitions: pa.Table, encoder: Zorro, device: torch.device | str
) -> list[StudyPairs]:
    """The pairs of each study of a split, in the order of their names."""
    found = []
    for study, cells in split_studies(corpus, split).items():
        table = transitions.filter(pc.equal(transitions[names.STUDY], study))
        pairs = study_pairs(cells, table, encode(encoder, cells, device=device)) if len(table) else None
        if pairs is None:
            say(f"finetune trajectory: study {study} ({split}) is not used: it has no transitions")
        else:
            found.append(pairs)
    return found


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
    if not studies:
        return []
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
