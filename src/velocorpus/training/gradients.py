"""The gradients of a whole batch, from pieces that fit into memory, on any number of ranks.

The contrastive loss compares every cell with every other, so its gradient is not a sum over pieces. It is had in two
passes (Gao et al. 2021, "gradient cache"): encode every chunk without a graph; compute the loss of all views of all
ranks and its gradient with respect to each view; then encode each chunk again, with a graph, and go back from the
cached gradients of its views. Memory is that of one chunk and of the views; the cost is one more forward pass, which a
batch of one chunk a rank does not pay. Hidden genes and dropout are drawn again the same.

Every rank computes the loss of the whole gathered batch and keeps the gradients of its own views, so gradients summed
over ranks are those of one process; no gradient travels through a collective.
"""

from typing import Any

import torch

from velocorpus.data.batch import CellBatch
from velocorpus.model.heads import Views
from velocorpus.training.chunks import Chunks
from velocorpus.training.loop import step_rng
from velocorpus.training.objective import Hidden, Pretraining, n_asked
from velocorpus.training.ranks import World


class Gradients:
    """Called with a rank's chunks and the step, adds the loss' gradients to the parameters and gives its values.

    The values are those of the whole batch, the same on all ranks; the gradients still have to be summed over ranks.
    With `bfloat16` the encoder computes in it where that is safe (autocast); losses are always float32.
    """

    def __init__(self, module: Pretraining, *, seed: int, world: World, bfloat16: bool = False) -> None:
        self.module, self.seed, self.world, self.bfloat16 = module, seed, world, bfloat16

    def __call__(self, chunks: Chunks, step: int) -> dict[str, torch.Tensor]:
        """See the class."""
        rngs = [step_rng(self.seed, step * chunks.of + number) for number in chunks.numbers]
        corrupted = [self.module.corrupted(part, rng) for part, rng in zip(chunks.parts, rngs, strict=True)]
        seeds = [int(torch.randint(2**62, (), generator=rng)) for rng in rngs]
        n_hidden = self._n_hidden([hidden for _, hidden in corrupted])
        contrastive_weight, masked_weight = self.module.weights(step)
        cached = len(corrupted) > 1 and self.module.contrasts
        ready = None
        first: list[Views | None] = []
        for (batch, hidden), seed in zip(corrupted, seeds, strict=True):
            if not self.module.contrasts:
                break
            with torch.no_grad() if cached else torch.enable_grad():
                ready = self._encode(batch, hidden, seed)
            first.append(ready[0])
        contrast, view_gradients = self._contrast([views for views in first if views], chunks, contrastive_weight)
        asked = self.module.encoder.config.modalities if self.module.masks else ()
        sums = {m: torch.zeros((), device=self.world.device) for m in asked}
        for i, ((batch, hidden), seed) in enumerate(zip(corrupted, seeds, strict=True)):
            views, here = self._encode(batch, hidden, seed) if cached or ready is None else ready
            roots = [masked_weight * x / (max(1.0, n_hidden[m]) * n_asked(n_hidden)) for m, x in here.items()]
            onto = [torch.ones_like(root) for root in roots]
            if views:
                roots += [views.projected[view] for view in view_gradients]
                onto += [gradient[i] for gradient in view_gradients.values()]
            torch.autograd.backward(roots, onto)
            sums |= {m: sums[m] + x.detach() for m, x in here.items()}
        return self.module.combine(contrast, {m: self.world.summed(x) for m, x in sums.items()}, n_hidden, step)

    def _encode(self, batch: CellBatch, hidden: Hidden, seed: int) -> tuple[Views | None, dict[str, torch.Tensor]]:
        torch.manual_seed(seed)  # dropout
        with torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.bfloat16):
            found: tuple[Views | None, dict[str, torch.Tensor]] = self.module(batch, hidden)
        return found

    def _contrast(self, parts: list[Views], chunks: Chunks, weight: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """The contrast of all ranks' cells, and by view the weighted gradient of each of this rank's chunks."""
        if not parts:
            return {}, {}
        rank, gathered = self.world.rank, self.world.gathered
        projected = {
            view: gathered(torch.cat([part.projected[view] for part in parts])).requires_grad_()
            for view in parts[0].projected
        }
        present = {
            view: gathered(torch.cat([part.present[view] for part in parts]).byte()).bool() for view in parts[0].present
        }
        rows_B = gathered(torch.cat([part.rows_B for part in chunks.parts]))
        contrast = self.module.contrast
        # Every rank computes the temperature's whole gradient, which counts once.
        contrast.raw_scale.requires_grad_(rank == 0)
        values = contrast(Views(projected, present), rows_B)
        (weight * values["contrastive"]).backward()
        contrast.raw_scale.requires_grad_()
        own = slice(rank * len(chunks), (rank + 1) * len(chunks))
        sizes = [len(part) for part in chunks.parts]
        gradients = {view: x.grad[own].split(sizes) for view, x in projected.items() if x.grad is not None}
        return {name: value.detach() for name, value in values.items()}, gradients

    def _n_hidden(self, hidden: list[Hidden]) -> dict[str, float]:
        """Hidden counts in each modality, over all chunks and ranks."""
        modalities = self.module.encoder.config.modalities
        device = self.world.device
        zero = torch.zeros((), dtype=torch.int64, device=device)
        here = torch.stack([sum((part[m].sum() for part in hidden if m in part), zero) for m in modalities])
        return dict(zip(modalities, self.world.summed(here).tolist(), strict=True))
