"""Cells of a corpus as an AnnData, ready for scanpy and scVelo."""

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.corpus.reader import Cells, Corpus
from velocorpus.errors import UserMistake


def to_anndata(corpus: Corpus, cells: Cells) -> ad.AnnData:
    """Cells × the genes of their organisms: integer CSR layers, `X` = spliced, `var` with symbol, organism and
    `kept`; an id that two of the organisms have is named with its organism (`GFP:mouse`).
    """
    if not len(cells):
        raise UserMistake("No cell of the corpus is in this selection; `velocorpus corpus info` lists what there is.")
    present = set(cells.obs[names.ORGANISM].to_pylist())
    columns = np.array([t for t, organism in enumerate(corpus.genes.organisms) if organism in present])
    genes = corpus.genes
    var = pd.DataFrame(
        {
            names.SYMBOL: np.array(genes.symbols, dtype=object)[columns],
            names.ORGANISM: np.array(genes.organisms, dtype=object)[columns],
            "kept": genes.kept[columns],
        },
        index=pd.Index(genes.unique_ids(columns), dtype=object, name=names.GENE_ID),
    )
    obs = cells.obs.to_pandas().set_index("cell_id")
    adata = ad.AnnData(obs=obs.drop(columns=[c for c in obs if obs[c].isna().all()]), var=var)
    for layer, csr in cells.layers.items():
        whole: Any = sparse.csr_matrix((csr.data, csr.indices, csr.indptr), shape=(len(cells), len(genes)))
        adata.layers[layer] = whole[:, columns]
    adata.X = adata.layers[names.SPLICED].copy()
    adata.uns[names.UNS] = {
        "x_is": names.SPLICED,
        "corpus": corpus.digest,
        "corpus_version": corpus.manifest["version"],
    }
    return adata
