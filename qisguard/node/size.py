"""How many nodes a network has, told from how near the closest ids of its look-ups are.

Of N uniform ids, P(the k-th closest lies within u) = P(Binomial(N, u) >= k) = I_u(k, N - k + 1),
which holds for real N too (DLMF 8.17.5). Solved for N it turns one radius into an estimate, and the
order statistics of the uniform law turn the median of many radii into one with an exact interval.

- The median is taken over look-ups with *random, secret* targets: Sybils near one target change one
  radius, and fewer than half of the radii move the median by a bounded factor.
- What an attacker can foresee (our own id, the keys in use, a refresh schedule) is no such target.
- Sybils spread over all ids are nodes, and are counted as such.
- A look-up that misses some of the k closest makes the estimate too small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from qisguard.identity.ids import ID_BITS, NodeId

K_MAX = 256
LOOKUPS_MAX = 512
SIZE_MAX = float(1 << ID_BITS)
BISECTIONS = 48
"""Leaves an error below 256 / 2^48 binary orders of magnitude."""


@dataclass(frozen=True, slots=True)
class SizeEstimate:
    """Number of nodes with its interval; ``size`` is as often too small as too large."""

    size: float
    low: float
    high: float
    lookups: int


def distance_ratio(target: NodeId, identifier: NodeId) -> float:
    """Return the XOR distance as a share of the id space, 0 to 1."""
    return float(target ^ identifier) / SIZE_MAX


def radius(target: NodeId, found: Sequence[NodeId], k: int) -> float:
    """Return the distance of the k-th closest id found, as a share of the id space.

    It is 1.0 where fewer than ``k`` were found: the estimate then ends at ``k``.
    """
    distances = sorted({target ^ identifier for identifier in found})
    return float(distances[k - 1]) / SIZE_MAX if len(distances) >= k else 1.0


def estimate_size(radii: Sequence[float], k: int, level: float = 0.95) -> SizeEstimate:
    """Return the number of nodes from the k-th distances of look-ups with random targets.

    Args:
        radii: one distance per look-up, in shares of the id space, in any order.
        k: which closest id they belong to, 1 to 256.
        level: coverage of the interval while ids are uniform, exact for any number of look-ups.
    """
    count = len(radii)
    if not 1 <= k <= K_MAX:
        raise ValueError(f"k = {k}, must be 1 to {K_MAX}")
    if not 1 <= count <= LOOKUPS_MAX:
        raise ValueError(f"radii: {count}, must be 1 to {LOOKUPS_MAX}")
    if not 0 < level < 1:
        raise ValueError(f"level = {level}, must be above 0 and below 1")
    rank = (count + 1) // 2
    middle = sorted(radii)[rank - 1]
    tail = (1 - level) / 2
    low, size, high = (
        _size_where(middle, k, _rank_quantile(rank, count, share))
        for share in (tail, 0.5, 1 - tail)
    )
    return SizeEstimate(size, low, high, count)


def chance_of_at_least(count: int, size: float, share: float) -> float:
    """Return P(Binomial(size, share) >= count) for a real ``size`` above ``count - 1``.

    The sum is the negative binomial form of I_share(count, size - count + 1), without cancellation.
    """
    if share >= 1 or count <= 0:
        return 1.0
    rest = size - count + 1
    term = math.exp(rest * math.log1p(-share))
    total = 0.0
    for index in range(count):
        total += term
        term *= (rest + index) / (index + 1) * share
    return max(0.0, 1.0 - total)


def _size_where(middle: float, k: int, probability: float) -> float:
    """Return the size at which the k-th id lies within ``middle`` with this probability."""
    return _bisect(
        lambda exponent: chance_of_at_least(k, 2.0**exponent, middle) - probability,
        math.log2(k),
        ID_BITS,
        power=True,
    )


@lru_cache(maxsize=64)
def _rank_quantile(rank: int, count: int, share: float) -> float:
    """Return the quantile of the ``rank``-th smallest of ``count`` uniform numbers, a Beta law."""
    return _bisect(lambda value: chance_of_at_least(rank, count, value) - share, 0.0, 1.0)


def _bisect(
    function: Callable[[float], float], low: float, high: float, power: bool = False
) -> float:
    """Return where a rising function crosses zero, or the nearer end where it does not."""
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if function(middle) < 0:
            low = middle
        else:
            high = middle
    return 2.0**high if power else high
