"""An encoder's outputs for the cells of an AnnData: in memory, or from file to file in bounded memory.

Shape suffix legend: N = all cells, B = cells of a batch, D = model dimension.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import torch

from velocorpus.counting.anndata_file import read_anndata
from velocorpus.data.tokens import batch_of
from velocorpus.errors import UserMistake, mistakes_in
from velocorpus.files import replacing
from velocorpus.model.pretrained import Pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.velocity.study import cells_in, check_layers, vocabulary_warnings

# Beside `uns["velocorpus"]`, which says where the counts come from and stays as it is.
UNS = "velocorpus_embed"
_CHUNK = 1024  # cells read at a time


class Embedding:
    """One pass over the cells of an AnnData, whose layers may lie on disk, and what was met on the way.

    Layers hold raw counts of every modality of the model; `var` holds Ensembl ids (versions are cut off) in its index
    or a usual column. Genes that the vocabulary lacks are left out. `seed` draws the genes of cells that have more
    than the model's `max_genes`, where the model's policy is a sample.
    """

    def __init__(
        self, adata: ad.AnnData, model: Pretrained, *, batch_cells: int = 128, seed: int = 0, device: Any = "cpu"
    ) -> None:
        self.adata, self.model, self.batch_cells, self.seed, self.device = adata, model, batch_cells, seed, device
        self.encoder = model.encoder().to(device)
        check_layers(adata, self.encoder.config.modalities)
        self.unmapped: tuple[str, ...] = ()
        self._n_counts = self._n_read = self._n_cut = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """Keys of `obsm`, one per output of the encoder."""
        return tuple(f"X_zorro_{name}" for name in self.encoder.pooling.names)

    @property
    def shape(self) -> tuple[int, int]:
        """Of each output: (N, D)."""
        return self.adata.n_obs, self.encoder.config.d_model

    def __iter__(self) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
        """Rows of the AnnData, in order, with their outputs (B, D), float32, by key."""
        config = self.encoder.config
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.adata.n_obs, _CHUNK):
            chunk = _in_memory(self.adata[start : start + _CHUNK])
            cells = cells_in(chunk, self.model.genes, config.modalities)
            self.unmapped = cells.unmapped
            for name in config.modalities:
                csr = cells.layers[name]
                self._n_counts += int(chunk.layers[name].sum())
                self._n_read += int(csr.totals.sum())
                self._n_cut += int((np.diff(csr.indptr) > config.max_genes).sum())
            for first in range(0, len(cells), self.batch_cells):
                rows = np.arange(first, min(first + self.batch_cells, len(cells)))
                batch = batch_of(
                    cells, rows, config.modalities, max_genes=config.max_genes, truncation=config.truncation, rng=rng
                )
                pooled = pooled_of(self.encoder, batch.to(self.device))
                yield slice(start + rows[0], start + rows[-1] + 1), {f"X_zorro_{k}": v for k, v in pooled.items()}

    def warnings(self) -> list[str]:
        """What an analyst must know of the pass that is over, one sentence each."""
        found = vocabulary_warnings(
            len(self.unmapped), self.adata.n_vars, self._share(), "the encoder has not seen them"
        )
        if self._n_cut:
            config = self.encoder.config
            found.append(
                f"{self._n_cut} times a cell has more than {config.max_genes} genes in a layer: the model took "
                f"{config.max_genes} of them (max_genes; truncation: {config.truncation})."
            )
        return found

    def provenance(self) -> dict[str, Any]:
        """What `uns` says of the pass that is over."""
        return {
            "model_kind": str(self.model.config.get("kind")),
            "weights_sha256": str(self.model.training.get("weights_sha256")),
            "corpus_digest": str(self.model.training.get("corpus_digest")),
            "genes_outside_vocabulary": len(self.unmapped),
            "share_of_counts_read": self._share(),
            "layers_of_cells_cut": self._n_cut,
            "seed": self.seed,
        }

    def _share(self) -> float:
        return self._n_read / max(self._n_counts, 1)


def embed(adata: ad.AnnData, model: Pretrained, **options: Any) -> Embedding:
    """Write `obsm["X_zorro_<output>"]` (float32, N × D) and `uns["velocorpus_embed"]`; `options` are `Embedding`'s."""
    run = Embedding(adata, model, **options)
    outputs = {key: np.empty(run.shape, np.float32) for key in run.outputs}
    for rows, found in run:
        for key, values_BD in found.items():
            outputs[key][rows] = values_BD
    adata.obsm.update(outputs)
    adata.uns[UNS] = run.provenance()
    return run


def embed_file(path: Path, model: Pretrained, out: Path, **options: Any) -> Embedding:
    """Write the h5ad `out`: a copy of `path` with what `embed` adds. Neither its layers nor its outputs are ever whole
    in memory, unless a layer is stored by columns (CSC).
    """
    adata = read_anndata(path, "file of cells", _open)
    with mistakes_in(path), replacing(out) as aside:
        run = Embedding(adata, model, **options)
        shutil.copyfile(path, aside)
        with h5py.File(aside, "r+") as file:
            written = {key: _array(file["obsm"], key, run.shape) for key in run.outputs}
            for rows, found in run:
                for key, values_BD in found.items():
                    written[key][rows] = values_BD
            ad.io.write_elem(file["uns"], UNS, run.provenance())
    return run


def pooled_of(encoder: Zorro, batch: Any) -> dict[str, np.ndarray]:
    """The encoder's pooled outputs of one batch, (B, D) each, as arrays."""
    with torch.no_grad():
        return {name: pooled_BD.cpu().numpy() for name, pooled_BD in encoder(batch).pooled.items()}


def _open(path: Path) -> ad.AnnData:
    """An h5ad whose layers stay on disk; the file is open as long as they are held."""
    file = h5py.File(path, "r")
    if not isinstance(file["obsm"], h5py.Group):
        raise UserMistake(f"{path} was written by anndata before 0.7; read it and write it again by a newer one.")
    layers = {name: _layer(stored) for name, stored in file.get("layers", {}).items()}
    return ad.AnnData(obs=ad.io.read_elem(file["obs"]), var=ad.io.read_elem(file["var"]), layers=layers)


def _layer(stored: Any) -> Any:
    if isinstance(stored, h5py.Dataset):
        return stored
    layer = ad.io.sparse_dataset(stored)
    return layer if layer.format == "csr" else layer.to_memory().tocsr()


def _in_memory(cells: ad.AnnData) -> ad.AnnData:
    try:
        return cells.to_memory()
    except (OSError, KeyError, ValueError) as error:  # what h5py and scipy say of damaged bytes
        reason = " ".join(str(error).split())[:200]
        raise UserMistake(
            f"The counts cannot be read to their end ({reason}); copy the file or make it again."
        ) from None


def _array(group: h5py.Group, key: str, shape: tuple[int, int]) -> h5py.Dataset:
    """An empty array in anndata's encoding; one that stands there is replaced."""
    if key in group:
        del group[key]
    array = group.create_dataset(key, shape, np.float32)
    array.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return array
