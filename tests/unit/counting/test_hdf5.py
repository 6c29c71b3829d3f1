import h5py
import numpy as np
import pytest
from scipy import sparse

from velocorpus.counting.hdf5 import read_array, read_csr


def stored(path, values, **how):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=values, **how)
    return h5py.File(path)["x"]


@pytest.mark.parametrize("dtype", ["<i4", ">i4", "<i8", "<f4", "u1"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"chunks": (64,)},
        {"chunks": (64,), "compression": "gzip"},
        {"chunks": (64,), "compression": "gzip", "shuffle": True},
        {"chunks": (64,), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (2000,), "maxshape": (None,), "compression": "gzip", "shuffle": True},
    ],
    ids=str,
)
def test_an_array_is_read_as_hdf5_reads_it(tmp_path, how, dtype):
    values = (np.random.default_rng(0).integers(-(2**31), 2**31, 1000) >> 5).astype(dtype)
    dataset = stored(tmp_path / "a.h5", values, **how)
    assert np.array_equal(read_array(dataset), values)
    assert read_array(dataset).dtype == dtype
    for start, stop in ((0, 0), (3, 64), (64, 65), (100, 900), (990, 1500), (1000, 1000)):
        assert np.array_equal(read_array(dataset, start, stop), values[start:stop])


def test_a_chunk_that_its_filter_left_as_it_was_is_read(tmp_path):
    dataset = stored(tmp_path / "a.h5", np.arange(10, dtype="<i4"), chunks=(10,), compression="gzip")
    path = dataset.file.filename
    dataset.file.close()
    with h5py.File(path, "r+") as file:
        file["x"].id.write_direct_chunk((0,), np.arange(10, 20, dtype="<i4").tobytes(), filter_mask=1)
    assert read_array(h5py.File(path)["x"]).tolist() == list(range(10, 20))


def test_a_matrix_with_a_column_that_it_does_not_have_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        parts = {"data": [1, 1], "indices": [0, 3], "indptr": [0, 1, 2]}
        group = file.create_group("m")
        group.attrs["shape"] = (2, 4)
        for name, values in parts.items():
            group[name] = np.array(values, np.int32)
        assert np.array_equal(read_csr(group).toarray(), sparse.csr_matrix([[1, 0, 0, 0], [0, 0, 0, 1]]).toarray())
        group.attrs["shape"] = (2, 3)
        with pytest.raises(ValueError, match="< 3"):
            read_csr(group)
