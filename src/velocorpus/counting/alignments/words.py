"""Whole words from bytes, wherever they begin; the caller has checked that the bytes are there."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from velocorpus.compiled import compiled

_LOW_BITS = np.uint64(0x0101010101010101)
_HIGH_BITS = np.uint64(0x8080808080808080)


@intrinsic
def _word(typingctx: Any, data: Any, at: Any) -> Any:
    """The little-endian uint64 in bytes at..at + 8 of a uint8 array, which need not be aligned."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = cgutils.pointer_add(builder, array.data, arguments[1], ir.IntType(64).as_pointer())
        word = builder.load(address)
        word.align = 1
        return word

    return types.uint64(data, types.int64), generate


@compiled
def read_int32(data, at):  # type: ignore[no-untyped-def]
    """The little-endian int32 in bytes at..at + 4."""
    return np.int64(
        np.int32(
            np.uint32(data[at])
            | np.uint32(data[at + 1]) << np.uint32(8)
            | np.uint32(data[at + 2]) << np.uint32(16)
            | np.uint32(data[at + 3]) << np.uint32(24)
        )
    )


@compiled
def find_nul(data, at, end):  # type: ignore[no-untyped-def]
    """The first place from `at` on of a byte 0, or `end`: eight bytes at a time."""
    while at + 8 <= end:
        word = _word(data, np.int64(at))  # type: ignore[call-arg, var-annotated]
        # Of the bytes that are 0, and perhaps of some after the first, the high bit.
        found = (word - _LOW_BITS) & ~word & _HIGH_BITS
        if found:
            if (found & np.uint64(0xFFFFFFFF)) == 0:
                found >>= np.uint64(32)
                at += 4
            if (found & np.uint64(0xFFFF)) == 0:
                found >>= np.uint64(16)
                at += 2
            return at + ((found & np.uint64(0xFF)) == 0)
        at += 8
    while at < end and data[at] != 0:
        at += 1
    return at
