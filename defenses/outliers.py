"""Rejecting votes by their value: what the rules that do so have in common, and cannot do.

Votes of each arm are judged among themselves, by ``value`` alone: 0 or 1, a number, or days whether
or not anything happened on the last. A rule of this kind looks for rare and distant values. Poison
of a binary outcome is neither, and a fake that copies a plausible patient is not distant.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.votes import Votes

Floats: TypeAlias = NDArray[np.float64]
Far: TypeAlias = Callable[[Floats, Floats], NDArray[np.bool_]]
"""From (m,) values and positive weights of one arm to the (m,) values that are too far away."""


def without_far(votes: Votes, weights: Floats, far: Far) -> Floats:
    """Return (n,) weights with those votes at zero that are far from the others of their arm."""
    result = weights.copy()
    for arm in (0, 1):
        rows = np.flatnonzero((votes.arm == arm) & (weights > 0))
        if len(rows):
            result[rows[far(votes.value[rows], weights[rows])]] = 0.0
    return result


def beyond_sigmas(value: Floats, weight: Floats, sigmas: float) -> NDArray[np.bool_]:
    """Return which of (m,) values are more than ``sigmas`` standard deviations from the mean.

    The variance is the unbiased one for reliability weights, n - 1 in the denominator when they
    are equal. A single value of n is then never beyond (n - 1) / sqrt(n) (Samuelson 1968; Grubbs
    1969), and a share p of equal values never beyond sqrt((1 - p) / p).
    """
    share = weight / weight.sum()
    spread = value - share @ value
    freedom = 1.0 - float(share @ share)
    if freedom <= 0:
        return np.zeros(len(value), np.bool_)
    return np.asarray(np.abs(spread) > sigmas * np.sqrt(share @ spread**2 / freedom), np.bool_)


def check(name: str, value: float) -> None:
    """Raise ValueError unless a number of deviations is one."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} = {value}, must be above 0")
