"""How little poison turns a comparison of two medians: a closed form by order statistics.

With x of the worst value added to an arm of weight a, its median is at most v as soon as the
weight up to v reaches (a + x) / 2, that is x(v) = a - 2 F(v). Removing the x highest instead
leaves a - x, and the condition is the same: x(v) again. The other arm of weight b is past v from
y(v) = 2 G(v) - b on, where G is its weight up to v. The least x(v) + y(v) over the values is exact,
and the same weight inside the data as added to it.
"""

from typing import TypeAlias

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats, Ints
from qisguard.outcomes.fragility import FlipRadius, radius
from qisguard.outcomes.ordered import ROUNDING, Ordered

Range: TypeAlias = tuple[float, float]
"""The worst and the best value that there are."""


def crossing(better: Ordered, worse: Ordered, worst: float) -> float:
    """Return the least weight of poison that brings the better arm's median below the other.

    ``worst`` is the worst value there is. Any more than this weight does it, nothing less.
    """
    values = np.append(_values(better, worse), worst)
    upto = _weight(better, np.searchsorted(better.value, values, side="right"))
    under = _weight(worse, np.searchsorted(worse.value, values, side="right"))
    first = np.maximum(better.total - 2 * upto, 0.0)
    second = np.maximum(2 * under - worse.total, 0.0)
    return float((first + second).min())


def _values(better: Ordered, worse: Ordered) -> Floats:
    """Return all values from the worse median to the better one, and the one before in each arm."""
    low = worse.lower(np.array([worse.total / 2]))[0]
    high = better.upper(np.array([better.total / 2]))[0]
    parts = []
    for arm in (better, worse):
        first, last = np.searchsorted(arm.value, low), np.searchsorted(arm.value, high, "right")
        parts.append(arm.value[max(int(first) - 1, 0) : int(last)])
    return np.concatenate(parts)


def _weight(arm: Ordered, count: Ints) -> Floats:
    """Return (k,): the weight of the first (k,) votes."""
    return np.where(count > 0, arm.upto[np.maximum(count, 1) - 1], 0.0)


def median_radius(better: Ordered, worse: Ordered, allowed: Range, search: bool) -> FlipRadius:
    """Return how little weight turns the better median; poison stays within ``allowed``."""
    least = crossing(better, worse, allowed[0])
    total = better.total + worse.total
    size, attack = None, "not searched"
    if search:
        size, attack = _cheapest(better, worse, allowed, int(least) + 4)
        if size is None:  # values at the end of the range tie long before they are reversed
            size, attack = _cheapest(better, worse, allowed, int(total) + 4)
    return radius(total, least, least, size, attack, "whatever they say")


def _cheapest(
    better: Ordered, worse: Ordered, allowed: Range, limit: int
) -> tuple[int | None, str]:
    """Return the fewest whole votes of weight 1, up to ``limit``, that reverse the decision.

    All of them say the worst or the best there is. Every number in the better arm is tried with
    the fewest in the other that get past it.
    """
    count = np.arange(limit + 1)
    falls = _with_lowest(better, count.astype(np.float64), allowed[0])
    rises = -_with_lowest(worse.negated(), count.astype(np.float64), -allowed[1])
    slack = NOTHING * (allowed[1] - allowed[0])
    needed = np.searchsorted(rises, falls + slack, side="right")
    sizes = np.where(needed <= limit, count + needed, 2 * limit + 1)
    down = int(np.argmin(sizes))
    size = int(sizes[down])
    if size > limit:
        return None, "none found"
    if needed[down] == 0:
        return size, "the worst value in the better arm"
    if down == 0:
        return size, "the best value in the worse arm"
    return size, "the worst value in the better arm and the best in the other"


def _with_lowest(arm: Ordered, added: Floats, lowest: float) -> Floats:
    """Return (k,): the median with (k,) weight added at a value that nothing undercuts."""
    half = (arm.total - added) / 2
    slack = arm.total * ROUNDING
    low = np.where(half > slack, arm.lower(half), lowest)
    high = np.where(half >= -slack, arm.upper(half), lowest)
    return np.asarray((low + high) / 2, np.float64)
