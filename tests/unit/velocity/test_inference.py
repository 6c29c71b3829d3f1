import anndata as ad
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
from velocorpus.model.velocity import VelocityDecoder
from velocorpus.model.zorro import Zorro
from velocorpus.velocity.inference import add_velocities

GENES = [f"ENSG{i:011d}" for i in range(30)]


@pytest.fixture
def model(tmp_path) -> Pretrained:
    torch.manual_seed(0)
    genes = Vocabulary(GENES, GENES, ["human"] * 30, np.ones(30, bool))
    config = ModelConfig(d_model=16, n_layers=1, n_heads=2, n_fusion=2)
    modules = {"encoder": Zorro(config, 30), "decoder": VelocityDecoder(30, 16)}
    saved = {
        "kind": "velocity",
        "encoder": config.model_dump(),
        "decoder": {"mode": "neighbours"},
        "trained_on": {"depth": [100, 1000], "unspliced_share": [0.2, 0.3]},
    }
    save_pretrained(tmp_path / "model", modules, saved, genes, {"corpus_digest": "0"})
    return load_pretrained(tmp_path / "model")


def cells(n: int = 40, genes: list[str] = GENES, unspliced: float = 3.0) -> ad.AnnData:
    rng = np.random.default_rng(0)
    layers = {
        layer: sparse.csr_matrix(rng.poisson(mean, (n, len(genes))))
        for layer, mean in (("spliced", 10.0), ("unspliced", unspliced))
    }
    obs = pd.DataFrame({"study": ["a"] * (n // 2) + ["b"] * (n - n // 2)}, index=[f"c{i}" for i in range(n)])
    return ad.AnnData(obs=obs, var=pd.DataFrame(index=genes), layers=layers)


def test_velocities_have_what_scvelo_s_graph_reads(model):
    adata = cells()
    assert add_velocities(adata, model) == []
    assert {"velocity", "velocity_std", "Ms", "Mu"} <= set(adata.layers)
    assert np.isfinite(adata.layers["velocity"]).all()
    assert (adata.layers["velocity_std"] > 0).all()
    assert "neighbors" in adata.uns
    assert adata.uns[names.UNS]["genes_outside_vocabulary"] == 0


def test_a_gene_without_counts_is_nan_and_no_velocity_gene(model):
    adata = cells()
    adata.layers["unspliced"] = sparse.csr_matrix(adata.layers["unspliced"].toarray() * (np.arange(30) != 4))
    add_velocities(adata, model)
    assert np.isnan(adata.layers["velocity"][:, 4]).all()
    assert not adata.var["velocity_genes"].iloc[4]


def test_studies_do_not_see_each_other(model):
    together, alone = cells(), cells()[:20].copy()
    add_velocities(together, model, study_key="study")
    add_velocities(alone, model)
    np.testing.assert_allclose(together.layers["velocity"][:20], alone.layers["velocity"], rtol=1e-4, atol=1e-6)


def test_genes_outside_the_vocabulary_get_velocities_and_a_warning(model):
    adata = cells(genes=[f"ENSMUSG{i:011d}" for i in range(30)])
    warnings = add_velocities(adata, model)
    assert np.isfinite(adata.layers["velocity"]).all()
    assert adata.uns[names.UNS]["genes_outside_vocabulary"] == 30
    assert "vocabulary" in warnings[0]


def test_few_unspliced_counts_are_warned_of(model):
    warnings = add_velocities(cells(unspliced=0.1), model)
    assert any("unspliced" in warning for warning in warnings)


def test_normalised_values_are_refused(model):
    adata = cells()
    adata.layers["spliced"] = adata.layers["spliced"] * 0.3
    with pytest.raises(UserMistake, match="raw counts"):
        add_velocities(adata, model)


def test_a_study_of_few_cells_is_refused_by_name(model):
    adata = cells()
    adata.obs["study"] = ["a"] * 37 + ["small"] * 3
    with pytest.raises(UserMistake, match="small"):
        add_velocities(adata, model, study_key="study")
