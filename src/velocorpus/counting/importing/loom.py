"""velocyto's loom: genes × cells, row attribute `Accession`, `CellID` = `sample:BARCODEx`."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from velocorpus import names
from velocorpus.counting.importing.imported import Imported, need_layers, without_sample
from velocorpus.errors import UserMistake


def read_loom(path: Path) -> Imported:
    """velocyto's loom, transposed to cells × genes."""
    import loompy

    try:
        connection = loompy.connect(str(path), mode="r", validate=False)
    except OSError as error:
        raise UserMistake(f"{path} cannot be read as loom ({error}); make it again.") from None
    with connection as loom:
        rows, columns = set(loom.ra.keys()), set(loom.ca.keys())
        cell_key = next((key for key in ("CellID", "obs_names") if key in columns), None)
        gene_key = next((key for key in ("Accession", "Gene", "var_names") if key in rows), None)
        if cell_key is None or gene_key is None:
            raise UserMistake(
                f"{path} has no column attribute CellID or no row attribute Accession or Gene (found"
                f" {sorted(columns)} and {sorted(rows)}); velocyto's loom files have them."
            )
        present = [layer for layer in names.LAYERS if layer in loom.layers]
        need_layers(path, present, [name for name in loom.layers if name])
        layers = {layer: sparse.csr_matrix(loom.layers[layer].sparse().T) for layer in present}
        cells = without_sample([str(cell) for cell in loom.ca[cell_key]])
        genes = tuple(str(gene) for gene in loom.ra[gene_key])
        symbols = tuple(str(gene) for gene in loom.ra["Gene"]) if "Gene" in rows else None
        others = sorted(columns - {cell_key})
        obs = pd.DataFrame({key: np.asarray(loom.ca[key]) for key in others if np.ndim(loom.ca[key]) == 1})
        version = str(loom.attrs.get("velocyto.__version__", "") or "")
    return Imported(layers, cells, genes, symbols, None, "velocyto", version, obs if others else None)
