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
from velocorpus.corpus.reader import CSR, Cells
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.counting.raw import check_raw
from velocorpus.data.batch import CellBatch
from velocorpus.data.packing import Truncation, pack_csr
from velocorpus.errors import UserMistake


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

    A cell keeps at most `max_genes` genes per layer, by the policy of `packing`, drawn from `rng`. Genes stay in the
    order of their tokens.
    """
    rows = np.asarray(rows, dtype=np.int64)
    layers = {
        modality: pack_csr(
            cells.layers[modality],
            rows,
            max_genes=max_genes,
            truncation=truncation,
            key=int(rng.integers(2**63)),
        )
        for modality in modalities
    }
    return CellBatch(layers, torch.from_numpy(rows.copy()))


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
