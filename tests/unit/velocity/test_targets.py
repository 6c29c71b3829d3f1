import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from velocorpus.data.targets import StudyTargets
from velocorpus.errors import UserMistake
from velocorpus.velocity.targets import read_targets, scvelo_velocities, write_targets


def some_targets() -> StudyTargets:
    velocity = np.array([[1, np.nan, 3], [4, np.nan, 6]], np.float32)
    return StudyTargets("truth", ["a:1", "a:2"], ["g0", "g1", "g2"], velocity, np.array([1, 0, 0.5], np.float32))


def test_targets_come_back_as_written(tmp_path):
    write_targets(tmp_path / "t.h5ad", some_targets())
    assert read_targets(tmp_path / "t.h5ad").digest() == some_targets().digest()


def test_a_gene_without_confidence_is_not_taught():
    aligned = some_targets().aligned(["a:2", "b:9"], np.array([2, 1, 0]), 4)
    np.testing.assert_array_equal(aligned, [[6, np.nan, 4, np.nan], [np.nan] * 4])


def test_a_file_that_is_no_targets_is_refused(tmp_path):
    ad.AnnData(np.zeros((2, 2), np.float32)).write_h5ad(tmp_path / "x.h5ad")
    with pytest.raises(UserMistake, match="velocity"):
        read_targets(tmp_path / "x.h5ad")


def test_too_few_cells_give_no_velocity_and_say_so(capsys):
    counts = sparse.csr_matrix(np.ones((5, 4), np.int32))
    study = ad.AnnData(
        obs=pd.DataFrame(index=[f"a:{i}" for i in range(5)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(4)]),
        layers={"spliced": counts, "unspliced": counts},
    )
    found = scvelo_velocities(study, "scvelo_stochastic")
    assert np.isnan(found.velocity_NG).all()
    assert (found.confidence_G == 0).all()
    assert "too few" in capsys.readouterr().err


def test_an_unknown_teacher_is_refused():
    with pytest.raises(UserMistake, match="scvelo_stochastic"):
        scvelo_velocities(ad.AnnData(np.zeros((2, 2), np.float32)), "scvelo_guess")


@pytest.mark.parametrize("kind", ["scvelo_steady_state", "scvelo_stochastic", "scvelo_dynamical"])
def test_every_mode_teaches_also_where_all_genes_fit(kind):
    # scVelo drops its column `velocity_genes` when every gene is one.
    rng = np.random.default_rng(0)
    time = np.linspace(0, 1, 80)[:, None]
    layers = {
        "spliced": sparse.csr_matrix(rng.poisson(5 + 40 * time * np.ones((1, 8)))),
        "unspliced": sparse.csr_matrix(rng.poisson(2 + 20 * time * np.ones((1, 8)))),
    }
    # A gene that does not change keeps normalisation from taking the others' change away.
    layers = {k: sparse.hstack([v, rng.poisson(200, (80, 1))]).tocsr() for k, v in layers.items()}
    study = ad.AnnData(
        obs=pd.DataFrame(index=[f"a:{i}" for i in range(80)]),
        var=pd.DataFrame(index=[f"g{i}" for i in range(9)]),
        layers=layers,
    )
    found = scvelo_velocities(study, kind)
    assert np.isfinite(found.velocity_NG).any()
    assert (found.confidence_G > 0).sum() >= 2
