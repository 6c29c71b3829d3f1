"""Fine-tuning of the velocity decoder on studies whose velocities are known, by truth or by a teacher.

Each training study is seen in several guises, as it is and thinned, with fewer cells and other numbers of neighbours:
so the decoder meets more depths and study sizes than the corpus has studies.

Shape suffix legend: N = cells of a study, B = cells of a batch, Q = asked genes, G = gene tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from velocorpus.config import FinetuneConfig
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.data.context import NEIGHBOURS, StudyContext, study_context
from velocorpus.data.targets import StudyTargets
from velocorpus.model.pretrained import Pretrained, save_pretrained
from velocorpus.model.velocity import VelocityDecoder, VelocityOutput, velocity_loss
from velocorpus.model.zorro import Zorro
from velocorpus.training.checkpoint import finish, open_work, say
from velocorpus.training.loop import Schedule, gradients_of, train
from velocorpus.training.provenance import finetuning
from velocorpus.training.studies import (
    LAYERS,
    StudyBatch,
    StudyBatches,
    encode,
    encoded,
    split_studies,
    take,
    thinned,
)

QUERY_GENES = 96
GUISES = 1  # of each training study, beside itself
MIN_CELLS = 30
# A gene whose velocity stays below this share of its mean expression per time unit of its median gene is at rest.
AT_REST = 0.05


@dataclass(frozen=True)
class TaughtStudy:
    """A study ready to learn from: its context, what the encoder makes of its cells, its targets.

    `z_NG` is NaN where there is no target; `log_scale_G` is the log of the targets' root mean square over
    `context.scale_G`; `genes_Q` are the tokens that can be asked.
    """

    name: str
    cells: Cells
    context: StudyContext
    memory_NMD: torch.Tensor
    z_NG: np.ndarray
    log_scale_G: np.ndarray
    genes_Q: np.ndarray


def finetune_velocity(
    pretrained: Pretrained,
    corpus: Corpus,
    targets: Sequence[StudyTargets],
    config: FinetuneConfig,
    out: Any,
    *,
    mode: str = "neighbours",
    resume: bool = False,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Train a velocity decoder on the corpus' training studies that `targets` cover; write its directory `out`.

    Validation studies are only looked at, test studies never read. Gives the last metrics.
    """
    run = finetuning(
        "velocity",
        pretrained,
        corpus,
        config,
        mode=mode,
        teachers=sorted({t.kind for t in targets}),
        targets=sorted(t.digest() for t in targets),
    )
    folder = open_work(out, run, resume=resume)
    if folder is None:
        say("finetune velocity: already finished")
        return {}
    encoder = pretrained.encoder().to(device)
    encoder.requires_grad_(config.train_encoder)
    torch.manual_seed(config.seed)
    decoder = VelocityDecoder(len(corpus.genes), encoder.config.d_model, mode=mode).to(device)
    training = taught_studies(encoder, corpus, targets, "train", seed=config.seed, guises=GUISES, device=device)
    validation = taught_studies(encoder, corpus, targets, "validation", seed=config.seed, guises=0, device=device)
    say(f"finetune velocity: {len(training)} guises of training studies, {len(validation)} validation studies")
    batches = StudyBatches(
        [len(study.cells) for study in training],
        [study.genes_Q for study in training],
        batch_cells=config.batch_cells,
        n_genes=QUERY_GENES,
        seed=config.seed,
    )
    module = nn.ModuleDict({"encoder": encoder, "decoder": decoder})

    def loss(batch: StudyBatch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        study = training[batch.study]
        live = encoded(encoder, study.cells, batch.rows_B, device) if config.train_encoder else None
        output = answer(decoder, study, batch.rows_B, batch.genes_Q, device, live)
        z_BQ = torch.from_numpy(study.z_NG[np.ix_(batch.rows_B, batch.genes_Q)]).to(device)
        log_scale_Q = torch.from_numpy(study.log_scale_G[batch.genes_Q]).to(device)
        return {"loss": velocity_loss(output, z_BQ, log_scale_Q)}

    def validate() -> dict[str, float]:
        cosines = [z_cosine(decoder, study, device) for study in validation]
        return {"cosine": float(np.mean(cosines))}

    metrics = train(
        module,
        batches,
        gradients_of(loss, config.seed),
        Schedule.of(config),
        folder,
        validate=validate if validation else None,
        name="finetune velocity",
    )
    saved = {
        "kind": "velocity",
        "encoder": encoder.config.model_dump(),
        "decoder": {"mode": mode},
        "trained_on": input_ranges(training),
        "time_unit": "hour" if {t.kind for t in targets} == {"truth"} else "the teacher's own",
    }
    record = run | {"metrics": metrics, "studies": sorted({study.name for study in training})}
    save_pretrained(folder / "model", {"encoder": encoder, "decoder": decoder}, saved, corpus.genes, record)
    finish(folder, out)
    return metrics


def answer(
    decoder: VelocityDecoder,
    study: TaughtStudy,
    rows_B: np.ndarray,
    genes_Q: np.ndarray,
    device: torch.device | str,
    live_BMD: torch.Tensor | None = None,
) -> VelocityOutput:
    """The decoder's output for some cells and genes of a study."""
    output: VelocityOutput = decoder(
        live_BMD if live_BMD is not None else study.memory_NMD[torch.from_numpy(rows_B)].to(device),
        torch.from_numpy(genes_Q).to(device),
        torch.from_numpy(study.context.features(rows_B, genes_Q)).to(device),
        torch.from_numpy(study.context.statistics(genes_Q)).to(device),
    )
    return output


@torch.no_grad()
def z_cosine(decoder: VelocityDecoder, study: TaughtStudy, device: torch.device | str) -> float:
    """Mean over at most 100 cells of the cosine between predicted and target shapes over the taught genes."""
    rows = np.unique(np.linspace(0, len(study.cells) - 1, min(len(study.cells), 100)).astype(np.int64))
    z = answer(decoder, study, rows, study.genes_Q, device).z_BQ.cpu()
    target = torch.from_numpy(np.nan_to_num(study.z_NG[np.ix_(rows, study.genes_Q)]))
    moving = target.norm(dim=1) > 0
    return float(torch.cosine_similarity(z[moving], target[moving], dim=1).mean()) if moving.any() else 0.0


def taught_studies(
    encoder: Zorro,
    corpus: Corpus,
    targets: Sequence[StudyTargets],
    split: str,
    *,
    seed: int,
    guises: int,
    device: torch.device | str = "cpu",
) -> list[TaughtStudy]:
    """Studies of a split that some `targets` cover, each also in `guises` other guises; what is left out is said."""
    target_of = {cell: i for i, target in enumerate(targets) for cell in target.cells}
    found = []
    for number, (name, cells) in enumerate(split_studies(corpus, split, seed=seed).items()):
        ids = cells.obs["cell_id"].to_pylist()
        owners = {target_of[cell] for cell in ids if cell in target_of}
        if not owners or len(cells) < MIN_CELLS:
            why = "no targets" if not owners else f"only {len(cells)} cells"
            say(f"finetune velocity: study {name} ({split}) is not used: {why}")
            continue
        velocity_NG = np.full((len(cells), len(corpus.genes)), np.nan, np.float32)
        for owner in sorted(owners):
            target = targets[owner]
            aligned = target.aligned(ids, corpus.genes.tokens(target.genes), len(corpus.genes))
            velocity_NG = np.where(np.isnan(velocity_NG), aligned, velocity_NG)
        memory_NMD = encode(encoder, cells, device=device)
        study = taught_study(name, cells, memory_NMD, velocity_NG, NEIGHBOURS)
        if not len(study.genes_Q):
            say(f"finetune velocity: study {name} ({split}) is not used: no gene with a moving target")
            continue
        found.append(study)
        rng = np.random.default_rng([seed, number])
        for _ in range(guises):
            n = max(MIN_CELLS, round(len(cells) * rng.uniform(0.7, 1.0)))
            rows = np.sort(rng.choice(len(cells), min(n, len(cells)), replace=False))
            guise = thinned(take(cells, rows), rng.uniform(0.3, 1.0), rng)
            k = int(rng.integers(NEIGHBOURS // 2, NEIGHBOURS + 1))
            memory_NMD = study.memory_NMD[torch.from_numpy(rows)]
            found.append(taught_study(name, guise, memory_NMD, velocity_NG[rows], k))
    return found


def taught_study(
    name: str, cells: Cells, memory_NMD: torch.Tensor, velocity_NG: np.ndarray, n_neighbours: int
) -> TaughtStudy:
    """Prepare one study: targets are divided by each gene's root mean square; genes at rest can't be asked."""
    context = study_context(*(cells.layers[layer] for layer in LAYERS), n_neighbours=n_neighbours)
    known_NG = np.isfinite(velocity_NG)
    count_G = known_NG.sum(axis=0)
    square_G = np.where(known_NG, velocity_NG, 0).astype(np.float64) ** 2
    rms_G = np.sqrt(square_G.sum(axis=0) / np.maximum(count_G, 1))
    candidate_G = context.usable_G & (count_G >= 2)
    rate_G = rms_G / np.maximum(context.mean_G2[:, 0], 1e-9)
    moving_G = candidate_G & (rms_G > 0)
    if moving_G.any():
        # Constant genes have rounding errors for velocities: the median is over genes above those.
        above = moving_G & (rate_G > 1e-6)
        moving_G &= rate_G > AT_REST * (np.median(rate_G[above]) if above.any() else 0)
    scale_G = np.where(moving_G, rms_G, 1)
    z_NG = (velocity_NG / scale_G).astype(np.float32)
    log_scale_G = np.log(scale_G / context.scale_G).astype(np.float32)
    return TaughtStudy(name, cells, context, memory_NMD, z_NG, log_scale_G, np.flatnonzero(moving_G))


def input_ranges(studies: Sequence[TaughtStudy]) -> dict[str, list[float]]:
    """Smallest and largest median depth and unspliced share of the studies trained on; inference warns outside."""
    depths = [study.context.depth for study in studies]
    shares = []
    for study in studies:
        spliced, unspliced = (float(study.cells.layers[layer].totals.sum()) for layer in LAYERS)
        shares.append(unspliced / max(spliced + unspliced, 1))
    return {"depth": [min(depths), max(depths)], "unspliced_share": [min(shares), max(shares)]}
