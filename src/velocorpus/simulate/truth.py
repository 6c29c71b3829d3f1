"""`truth.h5ad`: what a simulated sample's counts came from. Explained in docs/simulator.md."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.errors import UserMistake
from velocorpus.files import replacing
from velocorpus.simulate.kinetics import SimulatedCells

SPLICED_ABUNDANCE = "spliced_abundance"
UNSPLICED_ABUNDANCE = "unspliced_abundance"
DENSE_LAYERS = (SPLICED_ABUNDANCE, UNSPLICED_ABUNDANCE, names.VELOCITY, names.VELOCITY_UNSPLICED)


def write_truth(
    path: Path | str,
    *,
    sample: str,
    study: str,
    topology: str,
    barcodes: Sequence[str],
    cells: SimulatedCells,
    genes: pd.DataFrame,
    layers: Mapping[str, Any],
    obs: pd.DataFrame | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write one sample's truth.

    `genes`: a study's table (symbol and per-hour rates), indexed by gene id; written to `var`. `layers`: the
    molecules truly sampled (`spliced`, `unspliced`, `ambiguous`: integers, cells × genes). `obs`: further
    columns, one row a cell, in the order of `barcodes`. `settings`: JSON-able, what the sample was simulated
    with.
    """
    frame = cells.obs.copy()
    frame.index = pd.Index([names.cell_id(sample, b) for b in barcodes], dtype=object)
    frame.insert(0, names.BARCODE, np.asarray(barcodes, dtype=object))
    frame.insert(1, names.SAMPLE, sample)
    frame.insert(2, names.STUDY, study)
    if obs is not None:
        for column in obs.columns:
            frame[column] = obs[column].to_numpy()
    adata = ad.AnnData(obs=frame, var=genes)
    dense = (cells.spliced, cells.unspliced, cells.velocity, cells.velocity_unspliced)
    for name, values in zip(DENSE_LAYERS, dense, strict=True):
        adata.layers[name] = values.astype(np.float32)
    for layer in names.LAYERS:
        adata.layers[layer] = sparse.csr_matrix(layers[layer]).astype(np.int32)
    adata.uns[names.UNS] = {
        "kind": "simulated_truth",
        "sample": sample,
        "study": study,
        "topology": topology,
        "abundance_unit": "expected captured molecules per cell of typical depth",
        "velocity_unit": "captured molecules per hour",
        "settings": json.dumps(dict(settings or {}), sort_keys=True),
    }
    with replacing(path) as aside:
        adata.write_h5ad(aside, compression="gzip", compression_opts=4)


def read_truth(path: Path | str) -> ad.AnnData:
    """Read a truth file; refuses an h5ad that is none."""
    adata = read_anndata(path, "truth file")
    if dict(adata.uns.get(names.UNS, {})).get("kind") != "simulated_truth":
        raise UserMistake(f"{path} is not a truth file; `velocorpus simulate` writes them as truth.h5ad.")
    return adata
