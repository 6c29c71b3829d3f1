"""What pretraining puts on the encoder, and takes off again: projections for the contrast, and the reader of counts.

Shape suffix legend: B = cells, T = packed tokens, M = hidden genes of a batch, D = model dimension.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import nn
from torch.nn import functional as F

from velocorpus import names
from velocorpus.data.batch import CellBatch
from velocorpus.model.losses import alignment, info_nce, truncated_nb, uniformity
from velocorpus.model.zorro import ZorroOutput

SCALE_MIN, SCALE_START, SCALE_MAX = 1.0, 10.0, 100.0  # one over the temperature
DISPERSION_MIN, DISPERSION_MAX = 1e-2, 1e4


@dataclass(frozen=True)
class Views:
    """Projected views of cells, float32 (B, D) each, and which cells have them, bool (B,)."""

    projected: dict[str, torch.Tensor]
    present: dict[str, torch.Tensor]

    def units(self) -> dict[str, torch.Tensor]:
        """Each view about its mean over the cells that have it, then of unit length; zeros for the others."""
        return {view: F.normalize(centred(x, self.present[view]), dim=-1) for view, x in self.projected.items()}


def centred(x_BD: torch.Tensor, present_B: torch.Tensor) -> torch.Tensor:
    """Each row less the mean of the rows that are present; zeros for the others."""
    weight_B1 = present_B[:, None].to(x_BD.dtype)
    return (x_BD - (x_BD * weight_B1).sum(0) / weight_B1.sum().clamp(min=1)) * weight_B1


class Contrast(nn.Module):
    """InfoNCE between each modality and fusion and between the modalities, with one learned temperature.

    The projected views are taken about their mean over the batch: pooled outputs differ little from it at first, and
    a contrast that has to find that out by itself stays at chance for hundreds of steps. With batches of one study it
    also takes the study's own offset out, which differs between the modalities and between studies.

    `project` is for any part of a batch; all that compares cells with each other is in `forward`, which takes the
    projected views of the whole batch, so that a batch may be encoded in pieces and on several ranks.
    """

    def __init__(self, modalities: tuple[str, ...], d_model: int) -> None:
        super().__init__()
        views = (*modalities, names.FUSION)
        self.projections = nn.ModuleDict({view: nn.Linear(d_model, d_model, bias=False) for view in views})
        turn_DD = nn.init.orthogonal_(torch.empty(d_model, d_model))
        for projection in self.projections.values():
            projection.load_state_dict({"weight": turn_DD})
        self.pairs = tuple(combinations(views, 2))
        start = (SCALE_START - SCALE_MIN) / (SCALE_MAX - SCALE_MIN)
        self.raw_scale = nn.Parameter(torch.tensor(math.log(start / (1 - start))))

    def scale(self) -> torch.Tensor:
        """One over the temperature, bounded smoothly in (1, 100): it cannot run off, nor stick to a bound."""
        return SCALE_MIN + (SCALE_MAX - SCALE_MIN) * self.raw_scale.sigmoid()

    def project(self, output: ZorroOutput) -> Views:
        """The projected outputs, and who has them: fusion has whoever has any modality."""
        present = output.present | {names.FUSION: torch.stack(list(output.present.values())).any(0)}
        return Views({v: project(output.pooled[v]).float() for v, project in self.projections.items()}, present)

    def forward(self, views: Views, rows_B: torch.Tensor) -> dict[str, torch.Tensor]:
        """`contrastive` (the mean over pairs), each pair's loss and top-1 retrieval, and how the views lie.

        `alignment` is of the first pair, `uniformity_<view>` of each view: near 0 it has collapsed. `rows_B` says
        which cell each row is: a cell that the batch holds twice is no negative of itself.
        """
        units, scale = views.units(), self.scale()
        values: dict[str, torch.Tensor] = {}
        losses = []
        for a, b in self.pairs:
            both_B = views.present[a] & views.present[b]
            loss, first = info_nce(units[a], units[b], scale, both_B, rows_B)
            losses.append(loss)
            values[f"contrastive_{a}_{b}"] = loss
            values[f"top1_{a}_{b}"] = first
        with torch.no_grad():
            a, b = self.pairs[0]
            both_B = views.present[a] & views.present[b]
            values["alignment"] = alignment(units[a][both_B], units[b][both_B])
            for view, unit_BD in units.items():
                values[f"uniformity_{view}"] = uniformity(unit_BD[views.present[view]])
        return {"contrastive": torch.stack(losses).mean(), **values, "temperature": 1 / scale}


class MaskedExpression(nn.Module):
    """Reads the counts of hidden genes from their own tokens and the cell's global output.

    The expected count is the layer's total times a share: `total · sigmoid(bias[gene] + f(token, global))`. `frequency`
    (n_genes) of a modality, its genes' shares of the corpus' counts, starts the bias; without it all start equal.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        n_genes: int,
        d_model: int,
        frequency: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.from_cell = nn.Linear(d_model, d_model)
        last = nn.Linear(d_model, 1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.read = nn.Sequential(nn.Linear(d_model, d_model), nn.GELU(), last)
        self.bias = nn.ParameterDict()
        self.log_dispersion = nn.ParameterDict()
        for m in modalities:
            share = torch.full((n_genes,), 1 / n_genes) if frequency is None else frequency[m]
            share = share.float().clamp(1e-8, 0.5)
            self.bias[m] = nn.Parameter((share / (1 - share)).log())
            self.log_dispersion[m] = nn.Parameter(torch.zeros(n_genes))

    def forward(
        self, output: ZorroOutput, batch: CellBatch, hidden: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Summed −log likelihood of the hidden counts of each modality; sums, so that pieces of a batch add up."""
        sums: dict[str, torch.Tensor] = {}
        for m, hidden_T in hidden.items():
            layer = batch.layers[m]
            at_M = hidden_T.nonzero()[:, 0]
            cell_M = torch.searchsorted(layer.offsets, at_M, right=True) - 1
            genes_M = layer.genes_T[at_M]
            # In the output, every cell's genes stand one further than in the batch: its total token goes before.
            token_MD = output.tokens[m].index_select(0, at_M + cell_M + 1)
            cell_BD = self.from_cell(output.pooled[names.GLOBAL])
            shift_M = self.read(token_MD + cell_BD.index_select(0, cell_M))[:, 0].float()
            share_M = torch.sigmoid(self.bias[m][genes_M] + shift_M)
            dispersion_M = self.log_dispersion[m][genes_M].exp().clamp(DISPERSION_MIN, DISPERSION_MAX)
            sums[m] = truncated_nb(layer.counts_T[at_M], layer.totals_B[cell_M] * share_M, dispersion_M).sum()
        return sums
