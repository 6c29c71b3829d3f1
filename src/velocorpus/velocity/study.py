"""An analyst's AnnData as the cells that a model reads."""

import sys
from collections.abc import Sequence

import anndata as ad
import pandas as pd
import pyarrow as pa
from scipy import sparse

from velocorpus import names
from velocorpus.corpus.reader import Cells
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.data.tokens import cells_of
from velocorpus.errors import UserMistake

# Columns of `var` in which files keep Ensembl ids when the index holds symbols (CELLxGENE, 10x, scanpy).
ID_COLUMNS = (names.GENE_ID, "gene_ids", "feature_id", "ensembl_id")


def cells_in(adata: ad.AnnData, vocabulary: Vocabulary, layers: Sequence[str]) -> Cells:
    """The cells of an AnnData in a model's tokens; genes that the vocabulary lacks are left out: `unmapped` lists them.

    Layers hold raw counts; `var` holds Ensembl ids in its index or in one of `ID_COLUMNS`.
    """
    check_layers(adata, layers)
    matrices = {layer: sparse.csr_matrix(adata.layers[layer]) for layer in layers}
    triples = {layer: (m.indptr, m.indices, m.data) for layer, m in matrices.items()}
    obs = pa.table({"cell_id": pa.array(adata.obs_names.astype(str).tolist())})
    return cells_of(triples, ensembl_ids(adata.var), vocabulary, obs=obs)


def check_layers(adata: ad.AnnData, layers: Sequence[str]) -> None:
    """Refuse an AnnData that lacks one of the layers, or has no cells."""
    for layer in layers:
        if layer not in adata.layers:
            raise UserMistake(
                f"There is no layer '{layer}' (layers: {', '.join(adata.layers) or 'none'}); raw counts of "
                f"{' and '.join(layers)} are needed in `layers`."
            )
    if not adata.n_obs:
        raise UserMistake("There are no cells; give a file with at least one row.")


def vocabulary_warnings(n_outside: int, n_genes: int, share: float, so: str) -> list[str]:
    """A sentence when the model reads less than half of the counts (`share`); `so` says what follows from it."""
    if share >= 0.5:
        return []
    return [
        f"{n_outside} of {n_genes} genes are not in the model's vocabulary, and {1 - share:.0%} of the counts lie "
        f"outside: {so}."
    ]


def warn(command: str, warnings: Sequence[str]) -> None:
    """Print warnings of a command to stderr."""
    for warning in warnings:
        print(f"{command}: warning: {warning}", file=sys.stderr)


def ensembl_ids(var: pd.DataFrame) -> list[str]:
    """Ensembl ids without version from the index of `var`, or from a usual column when the index holds none."""
    candidates = [var.index, *(var[column] for column in ID_COLUMNS if column in var.columns)]
    for values in candidates:
        ids = [str(value).split(".", 1)[0] for value in values]
        if any(gene.startswith("ENS") for gene in ids):
            return ids
    return [str(value) for value in var.index]
