"""AnnData files of other tools as our layers: any with layers, kb's, simpleaf's and scBaseCount's.

- Layers `spliced`, `unspliced` and, where there is one, `ambiguous`; `X` is ignored.
- kb (nac): layers `mature`, `nascent`, `ambiguous`; simpleaf: `uns["quant_info"]`. Their rules stand in `kb` and
  `alevin_fry`.
- scBaseCount (Arc Institute): one file an experiment, made of STARsolo's filtered Velocyto matrices; `obs` has
  `SRX_accession`, `gene_count`, `umi_count`; `var` is named by symbol with the Ensembl ids in `gene_ids`, or by Ensembl
  id with `gene_symbols` (both were published). Its cells are STARsolo's EmptyDrops_CR, run with STAR's own figures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.counting.importing.alevin_fry import fry_layers
from velocorpus.counting.importing.gene_tables import share_of_ids
from velocorpus.counting.importing.imported import Imported, need_layers, without_sample
from velocorpus.counting.importing.kb import KB_LAYERS, from_kb_layers
from velocorpus.errors import UserMistake

SCBASECOUNT_CELLS = "STARsolo EmptyDrops_CR 3000 0.99 10 45000 90000 500 0.01 20000 0.01 10000 (by scBaseCount)"
_ID_COLUMNS = ("gene_ids", "gene_id", "ensembl_id", "feature_id", "Accession")
_SYMBOL_COLUMNS = (names.SYMBOL, "gene_symbol", "gene_symbols", "gene_name")
_EXPERIMENT = "SRX_accession"


def read_h5ad(path: Path) -> Imported:
    """An AnnData's layers; the columns of obs are kept for labels."""
    adata = read_anndata(path)
    if {"mature", "nascent"} <= set(adata.layers) and names.SPLICED not in adata.layers:
        layers = {layer: adata.layers[layer] for layer in KB_LAYERS if layer in adata.layers}
        of_kb = from_kb_layers(layers, adata.obs_names, adata.var_names, path, adata.var.get("gene_name"))
        return replace(of_kb, obs=adata.obs.reset_index(drop=True))
    present = [layer for layer in names.LAYERS if layer in adata.layers]
    if _EXPERIMENT in adata.obs and names.SPLICED not in present:
        raise UserMistake(
            f"{path} is a gene-level file of scBaseCount (layers: {', '.join(sorted(adata.layers)) or 'none'}), in"
            " which spliced and unspliced are one count; take the same experiment's file from the folder Velocyto."
        )
    need_layers(path, present, list(adata.layers))
    ours = adata.uns.get(names.UNS, {})
    if ours and not ours.get("ambiguous_present", True):
        present.remove(names.AMBIGUOUS)
    told = _json_of(ours, "source")
    cells = tuple(map(str, adata.obs_names))
    genes, symbols = _gene_names(adata)
    counts = Imported(
        layers={layer: sparse.csr_matrix(adata.layers[layer]) for layer in present},
        # Our own files name cells `sample:barcode`; the importer gives them their sample anew.
        cells=without_sample(cells) if ours else cells,
        genes=genes,
        symbols=symbols,
        versions=tuple(map(str, adata.var[names.VERSION])) if names.VERSION in adata.var else None,
        quantifier=told.get("quantifier", "h5ad"),
        quantifier_version=told.get("quantifier_version", ""),
        obs=adata.obs.reset_index(drop=True),
        cells_called_by=told.get("cells", {}).get("method", ""),
    )
    if "quant_info" in adata.uns:
        return fry_layers(counts, _json_of(adata.uns, "quant_info"), _json_of(adata.uns, "gpl_info"), path)
    return _scbasecount(counts, path) if _EXPERIMENT in adata.obs else counts


def _scbasecount(counts: Imported, path: Path) -> Imported:
    assert counts.obs is not None
    experiments = sorted(set(map(str, counts.obs[_EXPERIMENT])))
    if len(experiments) != 1:
        raise UserMistake(
            f"{path} has cells of {len(experiments)} experiments (first: {', '.join(experiments[:3])}); a sample is one"
            " experiment: import scBaseCount's file of each."
        )
    return replace(
        counts,
        quantifier="STARsolo (scBaseCount)",
        cells_called_by=SCBASECOUNT_CELLS,
        notes={"experiment": experiments[0]},
    )


def _gene_names(adata: ad.AnnData) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Ids, and symbols where there are any: ids may stand in a column, with the symbols as the index."""
    index = tuple(map(str, adata.var_names))
    column = _first_of(adata, _ID_COLUMNS)
    if column is not None and share_of_ids(index) < 0.5 <= share_of_ids(column):
        return column, index
    return index, _first_of(adata, _SYMBOL_COLUMNS)


def _first_of(adata: ad.AnnData, columns: Sequence[str]) -> tuple[str, ...] | None:
    key = next((key for key in columns if key in adata.var), None)
    return None if key is None else tuple(map(str, adata.var[key]))


def _json_of(uns: Mapping[str, Any], key: str) -> dict[str, Any]:
    try:
        value = json.loads(str(uns.get(key, "{}")))
    except json.JSONDecodeError:
        value = {}
    return value if isinstance(value, dict) else {}
