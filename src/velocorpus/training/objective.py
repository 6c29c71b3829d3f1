"""What pretraining asks of the encoder: contrast of a cell's views, and the counts that were hidden from it."""

from collections.abc import Mapping

import torch
from torch import nn

from velocorpus import names
from velocorpus.config import ModelConfig, PretrainConfig
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.data.batch import CellBatch
from velocorpus.model.heads import Contrast, MaskedExpression, Views
from velocorpus.model.zorro import Zorro
from velocorpus.training.corrupt import corrupt
from velocorpus.training.thin import thin

Hidden = dict[str, torch.Tensor]


class Pretraining(nn.Module):
    """The encoder with the heads that pretrain it.

    `forward` is what may be done to a part of a batch, `combine` what needs the whole batch.
    """

    def __init__(self, model: ModelConfig, pretrain: PretrainConfig, genes: Vocabulary) -> None:
        super().__init__()
        self.config = pretrain
        first, last = self.weights(0), self.weights()
        self.contrasts, self.masks = (bool(a or b) for a, b in zip(first, last, strict=True))
        self.encoder = Zorro(model, len(genes))
        self.contrast = Contrast(model.modalities, model.d_model)
        self.masked = MaskedExpression(model.modalities, len(genes), model.d_model, shares(genes, model.modalities))

    def weights(self, step: int | None = None) -> tuple[float, float]:
        """What the contrastive and the masked loss weigh in a step (0, 1, …), or at the end."""
        config = self.config
        done = 1.0 if step is None else min(1.0, step / config.weight_steps)
        starts_ends = (
            (config.contrastive_weight, config.contrastive_weight_end),
            (config.masked_weight, config.masked_weight_end),
        )
        contrastive, masked = (a if b is None else a + (b - a) * done for a, b in starts_ends)
        return contrastive, masked

    def corrupted(self, batch: CellBatch, rng: torch.Generator) -> tuple[CellBatch, Hidden]:
        """The batch as the encoder may see it, and which values are hidden."""
        model = self.encoder.config
        if self.training and self.config.thin_least < 1:
            batch = thin(batch, model.modalities, self.config.thin_least, rng)
        return corrupt(
            batch,
            model.modalities,
            mask_rate=self.config.mask_rate if self.masks else 0.0,
            unknown_rate=model.unknown_rate if self.training else 0.0,
            rng=rng,
        )

    def forward(self, batch: CellBatch, hidden: Hidden) -> tuple[Views | None, dict[str, torch.Tensor]]:
        """The cells' views, and the summed −log likelihood of the hidden counts by modality.

        A part that never has a weight is not computed: no views, no sums.
        """
        output = self.encoder(batch, hidden)
        views = self.contrast.project(output) if self.contrasts else None
        return views, self.masked(output, batch, hidden) if self.masks else {}

    def combine(
        self,
        contrast: Mapping[str, torch.Tensor],
        sums: Mapping[str, torch.Tensor],
        n_hidden: Mapping[str, float],
        step: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """The weighted sum, "loss", and its parts: what `contrast` gave, and the mean over each modality's counts."""
        contrastive_weight, masked_weight = self.weights(step)
        values = dict(contrast)
        means = {f"masked_{m}": total / max(1.0, n_hidden[m]) for m, total in sums.items()}
        parts = [contrastive_weight * values["contrastive"]] if contrast else []
        if means:
            values |= {"masked": torch.stack(list(means.values())).sum() / n_asked(n_hidden), **means}
            parts.append(masked_weight * values["masked"])
        return {"loss": torch.stack(parts).sum(), **values}

    def loss(self, batch: CellBatch, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """All of it for one batch that is in one piece, weighed as at the end."""
        batch, hidden = self.corrupted(batch, rng)
        views, sums = self(batch, hidden)
        contrast = self.contrast(views, batch.rows_B) if views else {}
        return self.combine(contrast, sums, {m: float(hidden_T.sum()) for m, hidden_T in hidden.items()})


def n_asked(n_hidden: Mapping[str, float]) -> int:
    """Modalities in which anything is hidden, at least 1: the masked loss is the mean over them."""
    return max(1, sum(n > 0 for n in n_hidden.values()))


def shares(genes: Vocabulary, modalities: tuple[str, ...]) -> dict[str, torch.Tensor] | None:
    """Each gene's share of the corpus' counts per modality; None without totals."""
    if any(names.total_of(m) not in genes.totals for m in modalities):
        return None
    totals = {m: torch.from_numpy(genes.totals[names.total_of(m)] + 0.5) for m in modalities}
    return {m: total / total.sum() for m, total in totals.items()}
