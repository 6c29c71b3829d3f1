"""What makes a number a raw count. Only numpy: models read their cells by the same rule."""

from typing import Any

import numpy as np

from velocorpus.errors import UserMistake


def check_raw(values: Any, what: str) -> None:
    """Refuse values (any array) that are no raw counts; `what` names them, e.g. "Sample a: layer 'spliced'".

    Counts are finite, whole, not negative and fit into 32 bits.
    """
    values = np.asarray(values)
    if not values.size:
        return
    if not np.isfinite(values).all():
        raise UserMistake(f"{what} holds values that are infinite or no numbers; give raw counts.")
    if values.min() < 0:
        raise UserMistake(f"{what} holds negative counts; give raw counts.")
    if not (values == np.rint(values)).all():
        raise UserMistake(f"{what} holds fractional counts; give raw counts, not normalised ones.")
    if values.max() > np.iinfo(np.int32).max:
        raise UserMistake(f"{what} holds a count above {np.iinfo(np.int32).max}; give raw counts.")
