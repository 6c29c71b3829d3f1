"""The per-sample `counts.h5ad`: the one file format in which every counter hands on its counts.

CSR layers `spliced`, `unspliced`, `ambiguous` of non-negative integers (int32); `X` equals `spliced`, scVelo's
convention; `var` is indexed by Ensembl gene id without version, with `symbol` and `version`; `obs` is indexed by
`{sample}:{barcode}`; `uns["velocorpus"]` says what it was made from. See docs/data-format.md.
"""

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from velocorpus import names
from velocorpus.counting.anndata_file import read_anndata
from velocorpus.counting.hdf5 import read_array, read_csr
from velocorpus.counting.raw import check_raw
from velocorpus.errors import UserMistake
from velocorpus.files import replacing

SCHEMA_VERSION = 1

# Bytes sorted by their place in the number, as indices and counts want it: files 1.5 times smaller, read twice as fast.
PACKED = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
# Counts above 0, of all layers, that `read_pieces` holds at once: 540 MB.
PIECE_COUNTS = 1 << 26


def write_counts(
    path: Path | str,
    *,
    layers: Mapping[str, Any],
    sample: str,
    barcodes: Sequence[str],
    genes: pd.DataFrame,
    source: Mapping[str, Any],
    obs: pd.DataFrame | None = None,
) -> None:
    """Write one sample's counts.

    `layers` maps `spliced`, `unspliced` and optionally `ambiguous` to cells × genes matrices (sparse or dense) of
    non-negative integers; an absent ambiguous layer is stored empty and flagged `ambiguous_present = False`. `genes`
    is indexed by gene id and may have `symbol` and `version`. `obs` holds further columns per cell, in the order of
    `barcodes`. `source` is JSON-able and says what the counts were made from: `reference`, `reference_digest`,
    `chemistry`, `quantifier`, `quantifier_version` and what else the quantifier knows; never a path or a time.

    Raises `UserMistake` for duplicate gene ids or barcodes, negative or fractional counts, a missing layer.
    """
    adata = ad.AnnData(obs=_cells(sample, barcodes, obs), var=_genes(genes, sample))
    shape = adata.shape
    for layer in names.LAYERS:
        if layer not in layers and layer != names.AMBIGUOUS:
            raise UserMistake(
                f"Sample {sample}: the counts have no layer '{layer}'; velocity needs spliced and unspliced."
            )
        adata.layers[layer] = _integers(
            layers.get(layer, sparse.csr_matrix(shape, dtype=np.int32)), shape, layer, sample
        )
    adata.X = adata.layers[names.SPLICED].copy()
    about = {
        "schema_version": SCHEMA_VERSION,
        "sample": sample,
        "x_is": names.SPLICED,
        "ambiguous_present": names.AMBIGUOUS in layers,
        "content_digest": content_digest(adata),
        "source": json.dumps(dict(source), sort_keys=True),
    }
    adata.strings_to_categoricals()
    with replacing(path) as aside, h5py.File(aside, "w") as file:
        ad.io.write_elem(file, "/", adata, dataset_kwargs=PACKED)
        ad.io.write_elem(file, "uns", {names.UNS: about})  # HDF5 does not pack single values


def read_counts(path: Path | str, *, check: bool = True) -> ad.AnnData:
    """Read one sample's counts and check that they keep the contract; `uns[...]["source"]` comes back as a dict.

    `X` and the layer spliced are one matrix in memory. Without `check` the content digest is taken on trust.
    """
    return next(_pieces(path, check, np.iinfo(np.int64).max))


def read_pieces(path: Path | str, *, check: bool = True) -> Iterator[ad.AnnData]:
    """The same some cells at a time, in their order: some `PIECE_COUNTS` counts a piece, and one piece at least.

    With `check` a sample of several pieces is read twice.
    """
    return _pieces(path, check, PIECE_COUNTS)


def _pieces(path: Path | str, check: bool, most: int) -> Iterator[ad.AnnData]:
    outline = read_anndata(path, "counts file", _outline)
    about = outline.uns[names.UNS]
    if about["schema_version"] != SCHEMA_VERSION:
        raise UserMistake(
            f"{path} has counts schema {about['schema_version']}, this version reads {SCHEMA_VERSION}; make it again."
        )
    about["source"] = json.loads(about["source"])
    bounds = [0, *(np.flatnonzero(np.diff(outline.obsm[_ENDS][:, 0] // most)) + 1), outline.n_obs]
    if check and len(bounds) > 2:
        read_anndata(path, "counts file", partial(_check_stored, outline))
    for start, stop in pairwise(bounds):
        adata = read_anndata(path, "counts file", partial(_fill, outline, start, stop))
        if check and len(bounds) == 2:
            _check(path, outline, content_digest(adata))
        yield adata
        # An AnnData and its layers hold each other: the piece would stay while the next is read.
        del adata
        if stop < outline.n_obs:
            gc.collect()


# Where an outline says up to which count its cells reach.
_ENDS = "ends"


def _outline(path: Path) -> ad.AnnData:
    """All but the matrices."""
    with h5py.File(path) as file:
        if names.UNS not in file.get("uns", ()):
            raise UserMistake(
                f"{path} was not written by velocorpus; bring it in with `velocorpus import {path} --out counts.h5ad`."
            )
        ends = sum(file["layers"][layer]["indptr"][1:].astype(np.int64) for layer in names.LAYERS)
        return ad.AnnData(
            obsm={_ENDS: ends[:, None]}, **{name: ad.io.read_elem(file[name]) for name in ("obs", "var", "uns")}
        )


def _fill(outline: ad.AnnData, start: int, stop: int, path: Path) -> ad.AnnData:
    with h5py.File(path) as file:
        layers = {layer: read_csr(file["layers"][layer], start, stop) for layer in names.LAYERS}
    obs = outline.obs.iloc[start:stop]
    return ad.AnnData(layers[names.SPLICED], obs, outline.var, outline.uns, layers=layers)


def _check_stored(outline: ad.AnnData, path: Path) -> ad.AnnData:
    """The outline of a file whose matrices, read bit by bit, match their digest."""
    digest = _digest_of_names(outline)
    with h5py.File(path) as file:
        for layer in names.LAYERS:
            for part in ("indptr", "indices", "data"):
                array = file["layers"][layer][part]
                for start in range(0, len(array), PIECE_COUNTS):
                    _add(digest, read_array(array, start, start + PIECE_COUNTS))
    _check(path, outline, digest.hexdigest())
    return outline


def _check(path: Path | str, outline: ad.AnnData, digest: str) -> None:
    if digest != outline.uns[names.UNS]["content_digest"]:
        raise UserMistake(f"{path} does not match its own content digest: it was changed or damaged; make it again.")


def content_digest(adata: ad.AnnData) -> str:
    """SHA-256 over cell ids, gene ids and the three layers' nonzero counts, whatever file they come from."""
    digest = _digest_of_names(adata)
    for layer in names.LAYERS:
        matrix = sparse.csr_matrix(adata.layers[layer])
        for array in (matrix.indptr, matrix.indices, matrix.data):
            _add(digest, array)
    return str(digest.hexdigest())


def _digest_of_names(adata: ad.AnnData) -> Any:
    return hashlib.sha256("\n".join(adata.obs_names).encode() + b"\0" + "\n".join(adata.var_names).encode())


def _add(digest: Any, array: NDArray[Any]) -> None:
    for start in range(0, len(array), 2**16):  # what stays in the processor's cache is not paid for
        digest.update(array[start : start + 2**16].astype("<i8"))


def _cells(sample: str, barcodes: Sequence[str], obs: pd.DataFrame | None) -> pd.DataFrame:
    cells = pd.DataFrame(index=pd.Index([names.cell_id(sample, b) for b in barcodes], dtype=object))
    if not cells.index.is_unique:
        twice = cells.index[cells.index.duplicated()][0]
        raise UserMistake(f"Sample {sample}: barcode {twice.split(':', 1)[1]} stands twice; a cell must have one row.")
    cells[names.BARCODE] = np.asarray(barcodes, dtype=object)
    cells[names.SAMPLE] = sample
    if obs is not None:
        for column in obs.columns:
            cells[column] = obs[column].to_numpy()
    return cells


def _genes(genes: pd.DataFrame, sample: str) -> pd.DataFrame:
    if not genes.index.is_unique:
        twice = sorted(set(genes.index[genes.index.duplicated()]))
        raise UserMistake(
            f"Sample {sample}: {len(twice)} gene ids stand twice (first: {twice[0]}); sum or drop them before."
        )
    return pd.DataFrame(
        {
            names.SYMBOL: genes.get(names.SYMBOL, pd.Series(genes.index, index=genes.index)).astype(str).to_numpy(),
            names.VERSION: genes.get(names.VERSION, pd.Series("", index=genes.index)).astype(str).to_numpy(),
        },
        index=pd.Index(genes.index.astype(str), dtype=object, name=names.GENE_ID),
    )


def _integers(matrix: Any, shape: tuple[int, int], layer: str, sample: str) -> sparse.csr_matrix:
    # A copy: what follows tidies in place, and would leave the caller's matrix with entries that it no longer has.
    counts = sparse.csr_matrix(matrix, copy=True)
    if counts.shape != shape:
        raise UserMistake(f"Sample {sample}: layer '{layer}' is {counts.shape}, cells and genes are {shape}.")
    counts.sum_duplicates()
    counts.eliminate_zeros()
    check_raw(counts.data, f"Sample {sample}: layer '{layer}'")
    return counts.astype(np.int32)
