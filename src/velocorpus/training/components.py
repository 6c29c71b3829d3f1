"""Where gene embeddings start: the components in which cells of a study vary, each gene by how far its layers agree.

Principal components of log values about the mean of the cells' study, over all modalities. Noise of counting is
independent between the modalities of a cell and its state is not: a gene weighs the more, the more of its variance
they share. So the first outputs of the encoder are the scores of these components, and learning goes on from there.

Shape suffix legend: B = cells of a batch (of one study), G = genes, D = model dimension, K = components.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice

import pyarrow.compute as pc
import torch

from velocorpus.corpus.reader import Corpus
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.model.embeddings import TARGET
from velocorpus.model.start import GENE_STD
from velocorpus.training.chunks import GlobalBatches
from velocorpus.training.ranks import World

CELLS = 16384
BATCH_CELLS = 128  # cells of one study, whose mean is taken off
PASSES = 4  # of subspace iteration (Halko, Martinsson, Tropp 2011)
DAMPING = 1e-3  # variance of log values below which a gene counts for less
OWN_SHARE = 0.1  # what every embedding has of its own, so that no two genes are alike


def gene_components(corpus: Corpus, modalities: tuple[str, ...], d_model: int, *, seed: int) -> torch.Tensor:
    """Gene embeddings (G, D) float32 from at most `CELLS` cells of the training split, drawn by `seed`."""
    mine = corpus.samples.filter(pc.equal(corpus.samples["split"], "train"))
    n_cells = min(CELLS, pc.sum(mine["cells"]).as_py() or 0)
    stream = GlobalBatches(
        corpus,
        "train",
        of_one_study=True,
        batch_cells=BATCH_CELLS,
        chunk_cells=BATCH_CELLS,
        seed=seed,
        world=World(),
        modalities=modalities,
        max_genes=len(corpus.genes),
        truncation="top",
    )
    batches = [part for chunks in islice(stream, -(-n_cells // BATCH_CELLS)) for part in chunks.parts]
    return components_of(batches, modalities, len(corpus.genes), d_model, seed=seed)


def components_of(
    batches: Sequence[CellBatch], modalities: tuple[str, ...], n_genes: int, d_model: int, *, seed: int
) -> torch.Tensor:
    """The same from batches of one study each."""
    rng = torch.Generator().manual_seed(seed)
    weight_G = agreement(batches, modalities, n_genes)
    basis_GK = torch.linalg.qr(torch.randn(n_genes, min(d_model, n_genes), generator=rng))[0]
    for _ in range(PASSES):
        found_GK = torch.zeros_like(basis_GK)
        for values in centred(batches, modalities, n_genes):
            for x_BG in values.values():
                x_BG *= weight_G
                found_GK.addmm_(x_BG.T, x_BG @ basis_GK)
        basis_GK = torch.linalg.qr(found_GK)[0]
    # Turned, so that the components are spread over all dimensions, and heads.
    turn_DD = torch.linalg.qr(torch.randn(d_model, d_model, generator=rng))[0]
    genes_GD = (weight_G[:, None] * basis_GK) @ turn_DD[: basis_GK.shape[1]]
    genes_GD /= genes_GD.std().clamp(min=1e-12)
    genes_GD += OWN_SHARE * torch.randn(genes_GD.shape, generator=rng)
    return genes_GD * (GENE_STD / genes_GD.std())


def agreement(batches: Iterable[CellBatch], modalities: tuple[str, ...], n_genes: int) -> torch.Tensor:
    """Each gene's weight (G): √ of its covariance between modalities over the product of their variances.

    Weighted so on both sides, the product of two cells' log values is what a linear discriminant for "the same cell"
    sums over genes. A negative covariance counts as none; with one modality its variance is all there is.
    """
    pairs = list(combinations(modalities, 2)) or [(modalities[0], modalities[0])]
    shared_PG = torch.zeros(len(pairs), n_genes)
    variance = {m: torch.zeros(n_genes) for m in modalities}
    n_cells = 0
    for values in centred(batches, modalities, n_genes):
        n_cells += max(len(x_BG) for x_BG in values.values())
        for m, x_BG in values.items():
            variance[m] += x_BG.square().sum(0)
        for i, (a, b) in enumerate(pairs):
            if a in values and b in values:
                shared_PG[i] += (values[a] * values[b]).sum(0)
    n = max(1, n_cells)
    shares = [
        shared_G / n / (variance[a] * variance[b] / n**2 + DAMPING)
        for (a, b), shared_G in zip(pairs, shared_PG, strict=True)
    ]
    return torch.stack(shares).mean(0).clamp(min=0).sqrt()


def centred(
    batches: Iterable[CellBatch], modalities: tuple[str, ...], n_genes: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Log values (B, G) of each modality about their mean over the batch; zeros for cells without counts in it."""
    for batch in batches:
        found = {m: _centred(batch.layers[m], n_genes) for m in modalities if m in batch.layers}
        if found:
            yield found


def _centred(layer: LayerTokens, n_genes: int) -> torch.Tensor:
    n_cells = len(layer.totals_B)
    cell_T = torch.arange(n_cells).repeat_interleave(layer.offsets.diff(), output_size=len(layer.genes_T))
    known_T = layer.genes_T >= 0
    value_T = (layer.counts_T * (TARGET / layer.totals_B.clamp(min=1))[cell_T]).log1p()
    x_BG = torch.zeros(n_cells, n_genes)
    x_BG[cell_T[known_T], layer.genes_T[known_T].long()] = value_T[known_T]
    present_B1 = (layer.totals_B > 0)[:, None]
    return (x_BG - x_BG.sum(0) / present_B1.sum().clamp(min=1)) * present_B1
