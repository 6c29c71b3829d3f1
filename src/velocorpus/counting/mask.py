"""Temporary stand-in until the mask lands (overwrite me)."""

from dataclasses import dataclass

import numba
import numpy as np


@dataclass(frozen=True)
class Mask:
    """Masked intervals."""

    offset: np.ndarray
    start: np.ndarray
    end: np.ndarray
    notes: tuple[str, ...] = ()

    @property
    def arrays(self):
        """For compiled code."""
        return self.offset, self.start, self.end


def no_mask(n_groups: int) -> Mask:
    """Masks nothing."""
    return Mask(np.zeros(n_groups + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.int32))


@numba.njit(nogil=True)
def masked(group, position, first, last, low, high, arrays):
    """Whether a read is masked."""
    return False
