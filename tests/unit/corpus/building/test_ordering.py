from itertools import pairwise

import numpy as np
import pytest
from scipy import sparse

from velocorpus.corpus.building.ordering import by_token


@pytest.mark.parametrize("n_genes", [1, 63, 64, 65, 500])
def test_cells_by_token_are_the_columns_in_the_order_of_their_tokens(n_genes):
    rng = np.random.default_rng(n_genes)
    matrix = sparse.csr_matrix(rng.poisson(0.5, (20, n_genes)).astype(np.int32))
    tokens = rng.permutation(n_genes + 70)[:n_genes]
    rows = np.array([3, 4, 19, 0])
    indptr, found, counts = by_token(matrix, rows, tokens)
    wanted = np.zeros((len(rows), n_genes + 70), int)
    wanted[:, tokens] = matrix[rows].toarray()
    assert np.array_equal(sparse.csr_matrix((counts, found, indptr), wanted.shape).toarray(), wanted)
    assert all((np.diff(found[start:end]) > 0).all() for start, end in pairwise(indptr))


def test_no_cells_and_cells_without_counts_are_empty():
    matrix = sparse.csr_matrix((2, 5), dtype=np.int32)
    for rows in ([], [0, 1]):
        indptr, tokens, counts = by_token(matrix, np.array(rows, int), np.arange(5))
        assert (indptr.tolist(), len(tokens), len(counts)) == ([0] * (len(rows) + 1), 0, 0)
