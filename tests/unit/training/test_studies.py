import numpy as np
import pyarrow as pa

from velocorpus.corpus.reader import CSR, Cells
from velocorpus.training.studies import StudyBatches, dense, sizes, take, thinned, without

GENES = 6


def some_cells() -> Cells:
    counts = np.array([[5, 0, 2, 0, 0, 1], [0, 3, 0, 0, 4, 0], [9, 0, 0, 1, 0, 0]])
    rows, columns = np.nonzero(counts)
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=3))]).astype(np.int64)
    csr = CSR(starts, columns.astype(np.int32), counts[rows, columns].astype(np.int32), GENES)
    return Cells(pa.table({"cell_id": ["a", "b", "c"]}), {"spliced": csr, "unspliced": csr})


def all_of(cells: Cells) -> np.ndarray:
    return dense(cells, np.arange(len(cells)), np.arange(GENES))[:, :, 0]


def test_taken_rows_are_those_asked_for():
    np.testing.assert_array_equal(all_of(take(some_cells(), np.array([2, 0]))), all_of(some_cells())[[2, 0]])


def test_thinning_never_adds_molecules():
    thin = thinned(some_cells(), 0.5, np.random.default_rng(0))
    assert (all_of(thin) <= all_of(some_cells())).all()
    assert 0 < sizes(thin).sum() < sizes(some_cells()).sum()


def test_hidden_counts_are_gone_and_others_stay():
    hidden = np.random.default_rng(0).random((3, GENES)) < 0.5
    np.testing.assert_array_equal(all_of(without(some_cells(), hidden)), np.where(hidden, 0, all_of(some_cells())))


def test_resumed_batches_are_those_that_would_have_come():
    def batches() -> StudyBatches:
        return StudyBatches([50, 80], [np.arange(20), np.arange(5, 30)], batch_cells=8, n_genes=4, seed=3)

    whole = iter(straight := batches())
    for _ in range(3):
        next(whole)
    resumed = batches()
    resumed.load_state_dict(straight.state_dict())
    after, again = next(whole), next(iter(resumed))
    assert after.study == again.study
    np.testing.assert_array_equal(after.rows_B, again.rows_B)
    np.testing.assert_array_equal(after.genes_Q, again.genes_Q)
