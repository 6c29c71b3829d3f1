"""Cell barcodes: a list whose members differ in at least two bases, so that one error never makes another barcode."""

import numpy as np

from velocorpus.errors import UserMistake

LENGTH = 16


def make_whitelist(n: int, rng: np.random.Generator) -> list[str]:
    """Draw `n` sorted barcodes of 16 bases, each pair at a distance of two or more.

    Two barcodes at distance one are equal once the base in which they differ is left out; so of all that agree outside
    some position, only the first drawn stays.
    """
    codes = rng.integers(0, 4**LENGTH, 2 * n + 64, dtype=np.int64)
    keep = np.zeros(len(codes), bool)
    keep[np.unique(codes, return_index=True)[1]] = True
    for position in range(LENGTH):
        without = codes & ~(3 << (2 * position))
        first = np.zeros(len(codes), bool)
        first[np.unique(without, return_index=True)[1]] = True
        keep &= first
    codes = np.sort(codes[keep][:n])
    if len(codes) < n:
        raise UserMistake(f"{n} barcodes at distance two cannot be drawn; ask for fewer.")
    return [b.decode() for b in as_text(codes, LENGTH).view(f"S{LENGTH}").ravel()]


def as_text(codes: np.ndarray, length: int) -> np.ndarray:
    """Numbers in base 4 as ASCII bases: int64 (n,) → uint8 (n, length)."""
    shifts = 2 * np.arange(length - 1, -1, -1)
    return np.frombuffer(b"ACGT", np.uint8)[(codes[:, None] >> shifts) & 3]


def as_bytes(barcodes: list[str]) -> np.ndarray:
    """Texts of one length as uint8 (n, length)."""
    return np.frombuffer("".join(barcodes).encode(), np.uint8).reshape(len(barcodes), -1)
