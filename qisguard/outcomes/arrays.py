"""The array types of the synthesis, and the weight that counts as none."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.int64, np.float64)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

NOTHING = 1e-9
"""Weight, or a difference of arms on a scale of 1, below this is the rounding error of zero."""

TABLE_MAX = 1 << 20
"""Whole numbers up to this are looked up in a table."""


def sums(cell: Ints, weights: Floats, cells: int) -> Floats:
    """Return (cells,): the weight in each cell; ``cell`` (n,) indexes them."""
    return np.asarray(np.bincount(cell, weights, cells), np.float64)


def distinct(column: NDArray[Number]) -> NDArray[Number]:
    """Return the different values of (n,), ascending: ``np.unique`` by sorting, never by hashing.

    Sorting numbers is vectorised, and columns mostly come sorted. Whole numbers, as days are, are
    ticked off in a table.
    """
    if (column[1:] >= column[:-1]).all():
        rows = column
    elif column.min() >= 0 and column.max() <= min(TABLE_MAX, len(column)):
        whole = column.astype(np.int64)
        if (whole == column).all():
            seen = np.zeros(int(whole.max()) + 1, np.bool_)
            seen[whole] = True
            return np.flatnonzero(seen).astype(column.dtype)
        rows = np.sort(column)
    else:
        rows = np.sort(column)
    first = np.concatenate([np.ones(min(len(rows), 1), np.bool_), rows[1:] != rows[:-1]])
    return np.asarray(rows[first])


def places(ends: Floats, values: Floats) -> Ints:
    """Return (n,): how many of the ascending ``ends`` are at most each of (n,) values >= 0.

    ``np.searchsorted`` from the right. Whole numbers, as days are, are looked up in a table
    instead: n steps, not n log t.
    """
    top = float(ends[-1]) if len(ends) else 0.0
    if not 0 < top <= TABLE_MAX:
        return np.searchsorted(ends, values, side="right")
    capped = np.minimum(values, top)
    whole = capped.astype(np.int64)
    if not (whole == capped).all() or not (ends == np.floor(ends)).all():
        return np.searchsorted(ends, values, side="right")
    table = np.zeros(int(top) + 1, np.int64)
    table[ends.astype(np.int64)] = 1
    return np.cumsum(table)[whole]
