"""What depth tells of a cell's other view, and cells from which it is taken away."""

import numpy as np
import pyarrow as pa

from velocorpus.corpus.reader import CSR, Cells
from velocorpus.evaluation.depths import depth_views, equal_depth
from velocorpus.evaluation.probes import retrieval
from velocorpus.training.studies import LAYERS

RNG = np.random.default_rng(0)
N, N_GENES = 60, 30


def cells() -> Cells:
    """Cells of one composition and very different depths."""
    depth_N1 = np.exp(RNG.normal(0, 1, (N, 1)))
    layers = {}
    for name, mean in zip(LAYERS, (200, 60), strict=True):
        counts = RNG.poisson(depth_N1 * mean / N_GENES * np.ones(N_GENES)) + 1
        ptr = np.arange(N + 1) * N_GENES
        layers[name] = CSR(ptr, np.tile(np.arange(N_GENES), N), counts.ravel().astype(np.int32), N_GENES)
    return Cells(pa.table({"cell_id": [f"c{i}" for i in range(N)]}), layers, ())


def test_depth_alone_finds_the_other_view_where_layers_share_it_and_not_at_equal_depth():
    assert retrieval(*depth_views(cells()))[1] > 0.8
    assert retrieval(*depth_views(equal_depth(cells(), seed=0)))[1] == 0.0  # all alike: ties count against


def test_at_equal_depth_every_cell_has_the_same_totals_of_molecules_that_it_had():
    before = cells()
    after = equal_depth(before, seed=0)
    at = [before.obs["cell_id"].to_pylist().index(cell) for cell in after.obs["cell_id"].to_pylist()]
    assert 0.7 * N < len(after) < N
    for name in LAYERS:
        assert len(set(after.layers[name].totals)) == 1
        old, new = before.layers[name], after.layers[name]
        for row, was in enumerate(at):
            genes = new.indices[new.indptr[row] : new.indptr[row + 1]]
            counts = new.data[new.indptr[row] : new.indptr[row + 1]]
            assert (counts > 0).all()
            assert (counts <= old.data[old.indptr[was] : old.indptr[was + 1]][genes]).all()


def test_the_same_seed_draws_the_same_molecules():
    some = cells()
    a, b, c = (equal_depth(some, seed=seed).layers[LAYERS[0]].data for seed in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
