"""Sparse matrices out of HDF5, several times as fast as HDF5 itself: chunks are inflated by libdeflate."""

from typing import Any

import deflate
import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from velocorpus.compiled import compiled


def read_csr(group: h5py.Group) -> sparse.csr_matrix:
    """A matrix that anndata wrote as `csr_matrix`; refused (`ValueError`) are parts that do not fit together."""
    data, indices, indptr = (read_array(group[name]) for name in ("data", "indices", "indptr"))
    matrix = sparse.csr_matrix((data, indices, indptr), tuple(group.attrs["shape"]))
    matrix.check_format(full_check=True)  # compiled loops over it do not look at bounds
    return matrix


def read_array(dataset: h5py.Dataset) -> NDArray[Any]:
    """All of a one-dimensional dataset of numbers."""
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    shuffled = filters == [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE] and dataset.dtype.itemsize == 4
    if not shuffled and filters != [h5py.h5z.FILTER_DEFLATE]:
        return np.asarray(dataset[:])
    (size,), dtype, n = dataset.chunks, dataset.dtype, len(dataset)
    out = np.empty(-(-n // size) * size, dtype)
    for start in range(0, n, size):
        skipped, packed = dataset.id.read_direct_chunk((start,))
        if skipped:
            return np.asarray(dataset[:])
        raw = np.frombuffer(deflate.zlib_decompress(packed, size * dtype.itemsize), np.uint8)
        if shuffled:
            _unshuffle(raw, out[start : start + size].view(np.uint32))
        else:
            out[start : start + size] = raw.view(dtype)
    return out[:n]


@compiled
def _unshuffle(planes: Any, out: Any) -> None:  # pragma: no cover - compiled
    n = len(out)
    a, b, c, d = planes[:n], planes[n : 2 * n], planes[2 * n : 3 * n], planes[3 * n : 4 * n]
    for i in range(n):  # as slices, so that no index can be negative and the loop becomes vector instructions
        low = np.uint32(a[i]) | np.uint32(b[i]) << np.uint32(8)
        out[i] = low | np.uint32(c[i]) << np.uint32(16) | np.uint32(d[i]) << np.uint32(24)
