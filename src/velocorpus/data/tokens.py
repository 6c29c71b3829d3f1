"""Cells to packed tokens: `batch_of` for cells in memory, `cells_of` for an AnnData's matrices.

No padding is ever written. A cell with more expressed genes than `max_genes` in a layer is cut by a stated
policy; its `totals_B` still counts every gene, so the model sees how much was there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from velocorpus import names
from velocorpus.compiled import compiled
from velocorpus.corpus.reader import CSR, Cells
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.counting.raw import check_raw
from velocorpus.data.batch import CellBatch, LayerTokens
from velocorpus.errors import UserMistake

Truncation = Literal["top", "sample"]


def batch_of(
    cells: Cells,
    rows: NDArray[np.int64],
    modalities: Sequence[str],
    *,
    max_genes: int,
    truncation: Truncation,
    rng: np.random.Generator,
) -> CellBatch:
    """The given rows of some cells as one batch, `rows_B` = `rows`.

    A cell keeps at most `max_genes` genes per layer: those with the highest counts (`top`, ties to the more
    frequent gene), or a sample without replacement weighted by counts (`sample`, drawn from `rng`). Genes
    stay in the order of their tokens.
    """
    rows = np.asarray(rows, dtype=np.int64)
    layers = {}
    for modality in modalities:
        csr = cells.layers[modality]
        indptr, indices, data = _gather(csr.indptr, csr.indices, csr.data, rows)
        part = CSR(indptr, indices, data, csr.n_genes)
        layers[modality] = layer_tokens(part, max_genes=max_genes, truncation=truncation, rng=rng)
    return CellBatch(layers, torch.from_numpy(rows.copy()))


def layer_tokens(csr: CSR, *, max_genes: int, truncation: Truncation, rng: np.random.Generator) -> LayerTokens:
    """All rows of one layer as packed tensors, cut to `max_genes` a cell."""
    totals = csr.totals
    if len(csr.indptr) > 1 and np.diff(csr.indptr).max() > max_genes:
        if truncation == "sample":
            # The largest log(u) / weight are a weighted sample without replacement (Efraimidis & Spirakis
            # 2006).
            keys = np.log(1.0 - rng.random(len(csr.data))) / csr.data
        else:
            keys = csr.data.astype(np.float64)
        indptr, indices, data = _cut(csr.indptr, csr.indices, csr.data, keys, max_genes)
        csr = CSR(indptr, indices, data, csr.n_genes)
    return LayerTokens(
        torch.from_numpy(csr.indices.astype(np.int64)),
        torch.from_numpy(csr.data.astype(np.float32)),
        torch.from_numpy(np.array(csr.indptr, dtype=np.int64)),
        torch.from_numpy(totals.astype(np.float32)),
    )


def cells_of(
    layers: Mapping[str, tuple[Any, Any, Any]],
    gene_ids: Sequence[str],
    vocabulary: Vocabulary,
    *,
    unknown: Literal["drop", "keep"] = "drop",
    obs: pa.Table | None = None,
) -> Cells:
    """Cells of an AnnData, from CSR triples (indptr, indices, data) by layer and the gene ids of their columns.

    Genes that the vocabulary lacks are listed in `unmapped`; their counts are dropped or, with `keep`, stay
    as token −1 (the model's *unknown* gene). Genes that the corpus' filter has removed are dropped, as on
    reading the corpus. Refuses duplicate gene ids, negative or fractional counts, and data without any
    known gene.
    """
    if len(set(gene_ids)) != len(gene_ids):
        raise UserMistake("The gene ids of the cells are not unique; sum or drop duplicates before.")
    tokens_G = vocabulary.tokens(gene_ids)
    if not (tokens_G >= 0).any():
        raise UserMistake(
            f"None of the {len(gene_ids)} genes (first: {next(iter(gene_ids), 'none')}) is in the vocabulary; "
            "the index of `var` must hold Ensembl gene ids without version."
        )
    keep_G = np.where(tokens_G >= 0, vocabulary.kept[tokens_G], unknown == "keep")
    result: dict[str, CSR] = {}
    for layer, (indptr, indices, data) in layers.items():
        counts = np.asarray(data)
        check_raw(counts, f"Layer '{layer}'")
        cols = np.asarray(indices)
        stay = keep_G[cols] & (counts > 0)
        rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))[stay]
        tokens, kept = tokens_G[cols[stay]], counts[stay]
        order = np.lexsort((tokens, rows))
        starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(indptr) - 1))])
        result[layer] = CSR(
            starts.astype(np.int64),
            tokens[order].astype(np.int32),
            kept[order].astype(np.int32),
            len(vocabulary),
        )
    if obs is None:
        n_cells = len(next(iter(result.values())).indptr) - 1
        obs = pa.table({"cell_id": [str(i) for i in range(n_cells)]})
    for layer, csr in result.items():
        if names.total_of(layer) not in obs.column_names:
            obs = obs.append_column(names.total_of(layer), pa.array(csr.totals))
    lacking = tuple(g for g, t in zip(gene_ids, tokens_G, strict=True) if t < 0)
    return Cells(obs, result, lacking)


@compiled
def _gather(indptr: Any, indices: Any, data: Any, rows: Any) -> Any:  # pragma: no cover - compiled
    starts = np.zeros(len(rows) + 1, np.int64)
    for i in range(len(rows)):
        starts[i + 1] = starts[i] + indptr[rows[i] + 1] - indptr[rows[i]]
    new_indices = np.empty(starts[-1], np.int32)
    new_data = np.empty(starts[-1], np.int32)
    for i in range(len(rows)):
        a, b = indptr[rows[i]], indptr[rows[i] + 1]
        new_indices[starts[i] : starts[i + 1]] = indices[a:b]
        new_data[starts[i] : starts[i + 1]] = data[a:b]
    return starts, new_indices, new_data


@compiled
def _cut(indptr: Any, indices: Any, data: Any, keys: Any, most: int) -> Any:  # pragma: no cover - compiled
    """Keep the `most` largest keys of each row, ties to the smaller token, in the order of tokens."""
    starts = np.zeros(len(indptr), np.int64)
    for row in range(len(indptr) - 1):
        starts[row + 1] = starts[row] + min(most, indptr[row + 1] - indptr[row])
    new_indices = np.empty(starts[-1], np.int32)
    new_data = np.empty(starts[-1], np.int32)
    for row in range(len(indptr) - 1):
        a, b = indptr[row], indptr[row + 1]
        ties, threshold = 0, -np.inf
        if b - a > most:
            threshold = np.partition(keys[a:b], b - a - most)[b - a - most]
            ties = most - np.sum(keys[a:b] > threshold)
        out = starts[row]
        for i in range(a, b):
            take = keys[i] > threshold
            if keys[i] == threshold and ties > 0:
                ties -= 1
                take = True
            if take:
                new_indices[out] = indices[i]
                new_data[out] = data[i]
                out += 1
    return starts, new_indices, new_data
