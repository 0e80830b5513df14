"""The array types of the synthesis, and the weight that counts as none."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOTHING = 1e-9
"""Weight, or a difference of arms on a scale of 1, below this is the rounding error of zero."""


def sums(cell: Ints, weights: Floats, cells: int) -> Floats:
    """Return (cells,): the weight in each cell; ``cell`` (n,) indexes them."""
    return np.asarray(np.bincount(cell, weights, cells), np.float64)
