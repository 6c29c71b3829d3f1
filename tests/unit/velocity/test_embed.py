import hashlib

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from velocorpus import names
from velocorpus.config import ModelConfig
from velocorpus.corpus.vocabulary import Vocabulary
from velocorpus.errors import UserMistake
from velocorpus.model.pretrained import Pretrained, load_pretrained, save_pretrained
from velocorpus.model.zorro import Zorro
from velocorpus.velocity import embed as module
from velocorpus.velocity.embed import UNS, embed, embed_file

GENES = [f"ENSG{i:011d}" for i in range(30)]
KEYS = {"X_zorro_spliced", "X_zorro_unspliced", "X_zorro_fusion", "X_zorro_global"}


@pytest.fixture
def model(tmp_path) -> Pretrained:
    torch.manual_seed(0)
    genes = Vocabulary(GENES, GENES, ["human"] * 30, np.ones(30, bool))
    config = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2, max_genes=20, truncation="sample")
    saved = {"kind": "encoder", "encoder": config.model_dump()}
    save_pretrained(tmp_path / "model", {"encoder": Zorro(config, 30)}, saved, genes, {"corpus_digest": "0"})
    return load_pretrained(tmp_path / "model")


def cells(n: int = 25, genes: list[str] = GENES, matrix=sparse.csr_matrix) -> ad.AnnData:
    rng = np.random.default_rng(0)
    layers = {layer: matrix(rng.poisson(mean, (n, len(genes)))) for layer, mean in (("spliced", 2), ("unspliced", 1))}
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    uns = {names.UNS: {"kind": "counts"}}
    obsm = {"X_pca": np.ones((n, 2))}
    return ad.AnnData(obs=obs, var=pd.DataFrame(index=genes), layers=layers, uns=uns, obsm=obsm)


def digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_gets_every_output_and_keeps_what_it_had(tmp_path, model):
    cells().write_h5ad(tmp_path / "in.h5ad")
    embed_file(tmp_path / "in.h5ad", model, tmp_path / "out.h5ad")
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    assert set(out.obsm) == {*KEYS, "X_pca"}
    assert {(out.obsm[key].shape, out.obsm[key].dtype.name) for key in KEYS} == {((25, 16), "float32")}
    assert out.uns[names.UNS] == {"kind": "counts"}
    assert out.uns[UNS]["weights_sha256"] == model.training["weights_sha256"]
    np.testing.assert_array_equal(out.layers["spliced"].toarray(), cells().layers["spliced"].toarray())


def test_the_same_input_gives_the_same_bytes(tmp_path, model):
    cells().write_h5ad(tmp_path / "in.h5ad")
    for out in "ab":
        embed_file(tmp_path / "in.h5ad", model, tmp_path / f"{out}.h5ad")
    assert digest(tmp_path / "a.h5ad") == digest(tmp_path / "b.h5ad")


@pytest.mark.parametrize("matrix", [sparse.csr_matrix, sparse.csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
def test_a_file_read_by_chunks_gives_what_the_cells_in_memory_give(tmp_path, model, monkeypatch, matrix):
    monkeypatch.setattr(module, "_CHUNK", 8)
    adata = cells(matrix=matrix)
    adata.write_h5ad(tmp_path / "in.h5ad")
    embed_file(tmp_path / "in.h5ad", model, tmp_path / "out.h5ad")
    embed(adata, model)
    out = ad.read_h5ad(tmp_path / "out.h5ad")
    for key in KEYS:
        np.testing.assert_array_equal(out.obsm[key], adata.obsm[key])
    assert np.unique(out.obsm["X_zorro_fusion"], axis=0).shape == (25, 16)


def test_an_embedded_file_may_be_embedded_again_in_its_place(tmp_path, model):
    cells().write_h5ad(tmp_path / "in.h5ad")
    embed_file(tmp_path / "in.h5ad", model, tmp_path / "in.h5ad")
    first = ad.read_h5ad(tmp_path / "in.h5ad").obsm["X_zorro_fusion"]
    embed_file(tmp_path / "in.h5ad", model, tmp_path / "in.h5ad")
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "in.h5ad").obsm["X_zorro_fusion"], first)


def test_genes_that_the_model_lacks_and_cells_that_were_cut_are_counted_and_said(model):
    foreign = [f"ENSG{i:011d}" for i in range(100, 170)]
    adata = cells(genes=GENES + foreign)
    run = embed(adata, model)
    assert adata.uns[UNS]["genes_outside_vocabulary"] == 70
    both = [adata.layers[layer].toarray() for layer in ("spliced", "unspliced")]
    read = sum(layer[:, :30].sum() for layer in both) / sum(layer.sum() for layer in both)
    assert adata.uns[UNS]["share_of_counts_read"] == pytest.approx(read)
    assert adata.uns[UNS]["layers_of_cells_cut"] == sum(((layer[:, :30] > 0).sum(1) > 20).sum() for layer in both)
    outside, cut = run.warnings()
    assert "70 of 100 genes" in outside
    assert "20 genes" in cut


def test_spliced_counts_do_not_move_the_unspliced_output(model):
    adata = cells()
    embed(adata, model)
    changed = cells()
    changed.layers["spliced"] = changed.layers["spliced"] * 3
    embed(changed, model)
    np.testing.assert_array_equal(changed.obsm["X_zorro_unspliced"], adata.obsm["X_zorro_unspliced"])
    assert not np.allclose(changed.obsm["X_zorro_spliced"], adata.obsm["X_zorro_spliced"])


def test_damage_amid_the_counts_is_refused_and_nothing_written(tmp_path, model):
    cells(400).write_h5ad(tmp_path / "in.h5ad", compression="gzip")
    with h5py.File(tmp_path / "in.h5ad") as file:
        chunk = file["layers/spliced/data"].id.get_chunk_info(0)
    damaged = bytearray((tmp_path / "in.h5ad").read_bytes())
    damaged[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (tmp_path / "in.h5ad").write_bytes(damaged)
    with pytest.raises(UserMistake, match=r"in.h5ad: The counts cannot be read"):
        embed_file(tmp_path / "in.h5ad", model, tmp_path / "out.h5ad")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []
