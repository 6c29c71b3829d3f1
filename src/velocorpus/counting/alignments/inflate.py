"""BGZF blocks inflated by libdeflate, straight to their place in a buffer.

The wheel `deflate` carries libdeflate, but its Python functions hold the interpreter's lock and make an object of every
block. So its C functions (libdeflate.h, a stable interface) are called here directly: threads run beside each other
and nothing is copied.
"""

import ctypes

import numpy as np
from deflate import _deflate

_library = ctypes.CDLL(_deflate.__file__)
_allocate = _library.libdeflate_alloc_decompressor
_allocate.restype, _allocate.argtypes = ctypes.c_void_p, []
_free = _library.libdeflate_free_decompressor
_free.restype, _free.argtypes = None, [ctypes.c_void_p]
_decompress = _library.libdeflate_gzip_decompress_ex
_decompress.restype = ctypes.c_int
_decompress.argtypes = [
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t),
]  # fmt: skip


def inflate(packed: np.ndarray, starts: np.ndarray, data: np.ndarray, places: np.ndarray) -> int | None:
    """Inflate gzip member i, `packed[starts[i] : starts[i + 1]]`, to `data[places[i] : places[i + 1]]` (all uint8).

    Returns the number of the first that fails, or None. A member fails that is damaged (its CRC-32 is checked), holds
    another number of bytes than there is room for, or ends before its block.
    """
    decompressor, source, target = _allocate(), packed.ctypes.data, data.ctypes.data
    used, written = ctypes.c_size_t(), ctypes.c_size_t()
    used_at, written_at = ctypes.byref(used), ctypes.byref(written)
    starts_and_places = zip(
        starts.tolist(), np.diff(starts).tolist(), places.tolist(), np.diff(places).tolist(), strict=False
    )
    try:
        for i, (start, length, place, size) in enumerate(starts_and_places):
            failed = _decompress(decompressor, source + start, length, target + place, size, used_at, written_at)
            if failed or used.value != length or written.value != size:
                return i
    finally:
        _free(decompressor)
    return None
