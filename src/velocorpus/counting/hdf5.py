"""Sparse matrices out of HDF5, several times as fast as HDF5 itself: chunks are inflated by libdeflate."""

from typing import Any

import deflate
import h5py
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from velocorpus.compiled import compiled


def read_csr(group: h5py.Group, start: int = 0, stop: int | None = None) -> sparse.csr_matrix:
    """Rows of a matrix that anndata wrote as `csr_matrix`; `ValueError` where its parts do not fit together."""
    n_rows, n_columns = group.attrs["shape"]
    stop = int(n_rows) if stop is None else stop
    indptr = read_array(group["indptr"])[start : stop + 1]
    if not len(indptr):
        raise ValueError("the matrix has fewer rows than it says")
    data, indices = (read_array(group[name], int(indptr[0]), int(indptr[-1])) for name in ("data", "indices"))
    matrix = sparse.csr_matrix((data, indices, indptr - indptr[0]), (stop - start, n_columns))
    matrix.check_format(full_check=True)  # compiled loops over it do not look at bounds
    return matrix


def read_array(dataset: h5py.Dataset, start: int = 0, stop: int | None = None) -> NDArray[Any]:
    """Part of a one-dimensional dataset of numbers, or all."""
    stop = len(dataset) if stop is None else min(stop, len(dataset))
    plan = dataset.id.get_create_plist()
    filters = [plan.get_filter(i)[0] for i in range(plan.get_nfilters())]
    shuffled = filters == [h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE] and dataset.dtype.itemsize == 4
    if not shuffled and filters != [h5py.h5z.FILTER_DEFLATE]:
        return np.asarray(dataset[start:stop])
    (size,), dtype = dataset.chunks, dataset.dtype
    before = start // size * size
    out = np.empty(max(-(-(stop - before) // size) * size, 0), dtype)
    for at in range(before, stop, size):
        skipped, packed = dataset.id.read_direct_chunk((at,))
        if skipped:
            return np.asarray(dataset[start:stop])
        raw, chunk = np.frombuffer(deflate.zlib_decompress(packed, size * dtype.itemsize), np.uint8), out[at - before :]
        if shuffled:
            _unshuffle(raw, chunk[:size].view(np.uint32))
        else:
            chunk[:size] = raw.view(dtype)
    return out[start - before : max(stop - before, 0)]


@compiled
def _unshuffle(planes: Any, out: Any) -> None:  # pragma: no cover - compiled
    n = len(out)
    a, b, c, d = planes[:n], planes[n : 2 * n], planes[2 * n : 3 * n], planes[3 * n : 4 * n]
    for i in range(n):  # as slices, so that no index can be negative and the loop becomes vector instructions
        low = np.uint32(a[i]) | np.uint32(b[i]) << np.uint32(8)
        out[i] = low | np.uint32(c[i]) << np.uint32(16) | np.uint32(d[i]) << np.uint32(24)
