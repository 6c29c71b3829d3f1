"""Representations of cells in files: other methods' read to be rows of our table, and ours written for other tools.

Shape suffix legend: N = cells, D = dimensions of a representation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd

from velocorpus import names
from velocorpus.corpus.reader import Cells
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.errors import UserMistake
from velocorpus.files import replacing

_OBS = (names.STUDY, names.CELL_TYPE)


@dataclass(frozen=True)
class Representation:
    """One array of `obsm`: `values_ND` of the cells `ids_N` of a file."""

    name: str
    path: Path
    ids_N: pd.Index
    values_ND: np.ndarray

    def of(self, cells: Cells) -> np.ndarray:
        """Its values for some cells, in their order; a cell that is not there or has no finite value is refused."""
        wanted = cells.obs["cell_id"].to_pylist()
        at_N = self.ids_N.get_indexer(wanted)
        if (at_N < 0).any():
            raise UserMistake(
                f"{self.path} lacks {(at_N < 0).sum()} of the {len(wanted)} judged cells of a study (first: "
                f"{wanted[int(np.argmax(at_N < 0))]}); its cells must be named sample:barcode, as `corpus export` does."
            )
        found_ND = self.values_ND[at_N]
        wrong_N = ~np.isfinite(found_ND).all(axis=1)
        if wrong_N.any():
            raise UserMistake(
                f"{self.name} in {self.path} is not a finite number for {wrong_N.sum()} of the {len(wanted)} judged "
                f"cells of a study (first: {wanted[int(np.argmax(wrong_N))]}); leave the array out or mend it."
            )
        return found_ND


def read_representations(given: Sequence[str]) -> list[Representation]:
    """Every array of `obsm` of files given as `NAME=cells.h5ad`, each named `NAME: key`, in float64.

    Refused: a word without a name, a name given twice, a file without `obsm`, and what is not numbers of cells by
    dimensions. Neither counts nor `X` are read.
    """
    found: dict[str, Representation] = {}
    for word in given:
        name, _, path = word.partition("=")
        if not name or not path or "/" in name:
            raise UserMistake(f"--representation {word} is not NAME=cells.h5ad; give both, and a name without a slash.")
        adata = read_anndata(path, "file of representations", _obsm)
        if not adata.obsm:
            raise UserMistake(f"{path} has no obsm; write each representation as an array of cells by dimensions.")
        for key, values in sorted(adata.obsm.items()):
            if f"{name}: {key}" in found:
                raise UserMistake(f"Two representations are called '{name}: {key}'; give each file a name of its own.")
            found[f"{name}: {key}"] = Representation(
                f"{name}: {key}", Path(path), adata.obs_names, _numbers(key, values, path)
            )
    return list(found.values())


def write_representations(
    path: Path | str, by_name: Mapping[str, Sequence[np.ndarray]], studies: Mapping[str, Cells]
) -> None:
    """Write representations, one array (N, D) a study, as `obsm` of an h5ad whose `obs` has study and cell type."""
    obs = pd.concat([cells.obs.select(["cell_id", *_OBS]).to_pandas() for cells in studies.values()])
    obs = obs.astype(dict.fromkeys(_OBS, "category")).set_index("cell_id")
    whole = {name: np.concatenate(parts).astype(np.float32) for name, parts in by_name.items()}
    with replacing(path) as aside:
        ad.AnnData(obs=obs, obsm=whole).write_h5ad(aside)


def _obsm(path: Path) -> ad.AnnData:
    with h5py.File(path, "r") as file:
        return ad.AnnData(obs=ad.io.read_elem(file["obs"]), obsm=ad.io.read_elem(file["obsm"]))


def _numbers(key: str, values: object, path: str) -> np.ndarray:
    try:
        values_ND = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        values_ND = np.empty(0)
    if values_ND.ndim != 2 or not values_ND.shape[1]:
        raise UserMistake(f"obsm['{key}'] of {path} is not numbers of cells by dimensions, dense; leave it out.")
    return values_ND
