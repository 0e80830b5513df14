"""How little poison would change the decision: a guaranteed floor, and the best attack found.

What each kind of outcome can be made to say when all votes are pooled is in a module of its own.
Across issuers it is the same for all of them: an issuer moves one number within a range, and the
floor is ``Quantiles.turned``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats, Ints
from qisguard.outcomes.issuers import FULL, Differences, Quantiles

SHARES: Floats = np.arange(1, 1001) / 1000.0
SETS_MAX = 5_000
"""Sets of issuers of one size that are all tried: every four of twenty."""


@dataclass(frozen=True, slots=True)
class FlipRadius:
    """The smallest share of poisoned weight that changes the decision, as a pair.

    Attributes:
        guaranteed: no poison below this share of all the weight, added to these data, reverses the
            decision, whatever it says. Weight is that of the votes (pooled) or of the issuers.
        inside: if less than this share of the observed weight is poison, the decision without it
            would be the same.
        everywhere: the same when every issuer has at most this share of poison in each arm; None
            where votes are pooled, for whom ``inside`` says it.
        found: share that the best attack of the search needs, or None when none succeeded.
        attack: its name.
        size: how many votes of full weight (pooled) or compromised issuers it needs.
        meaning: the guarantee in words.
    """

    guaranteed: float
    inside: float
    found: float | None
    attack: str
    size: int | None
    meaning: str
    everywhere: float | None = None

    @property
    def safe(self) -> float:
        """Return the least of what is guaranteed, wherever the poison is."""
        return min(
            self.guaranteed, self.inside, 1.0 if self.everywhere is None else self.everywhere
        )


Move = Callable[[Floats], Floats]
"""Takes (k,) weights of poison, returns (k,) values of the statistic."""


def radius(
    total: float, added: float, inside: float, size: int | None, attack: str, allowed: str
) -> FlipRadius:
    """Return the pair from ``total`` weight, the least that turns it, and ``size`` whole votes."""
    return FlipRadius(
        guaranteed=added / (total + added),
        inside=min(1.0, inside / total),
        found=None if size is None else size / (total + size),
        attack=attack,
        size=size,
        meaning="no added votes with a smaller share of the weight reverse the decision, "
        + allowed,
    )


def cheaper(best: tuple[int | None, str], size: int | None, name: str) -> tuple[int | None, str]:
    """Return the smaller of an attack and a new one, by number of votes."""
    return (size, name) if size is not None and (best[0] is None or size < best[0]) else best


def fewest(gap: Move, limit: int) -> int | None:
    """Return the least whole n with ``gap(n) < 0``, no tie; gap falls. None beyond ``limit``."""
    low, high = 0, limit
    if gap(np.array([float(high)]))[0] >= -NOTHING:
        return None
    while high - low > 1:
        probes = np.unique(np.linspace(low, high, 17).astype(np.int64))
        flipped = gap(probes.astype(np.float64)) < -NOTHING
        first = int(np.argmax(flipped))
        low, high = int(probes[first - 1]), int(probes[first])
    return high


def issuer_radius(
    found: Differences, trim: float, sign: float, worst: float, search: bool = True
) -> FlipRadius:
    """Return how many issuers' worth of weight turns the trimmed mean against its sign.

    ``worst`` is the least, below 0, that an issuer can say in favour of the better arm.
    """
    value = sign * found.value
    quantiles = Quantiles.of(value, found.weight)
    standing = quantiles.turned(SHARES, trim, worst) > 0
    guaranteed = float(SHARES[np.argmin(standing)]) - 1 / 1000 if not standing.all() else 1.0
    clean = quantiles.cleaned(SHARES[:-1], trim)[0] > 0
    inside = float(SHARES[np.argmin(clean)]) - 1 / 1000 if not clean.all() else 1.0
    size, share, attack = (
        _turned(value, found.weight, trim, worst) if search else (None, None, "not searched")
    )
    return FlipRadius(
        guaranteed=guaranteed,
        inside=inside,
        found=share,
        attack=attack,
        size=size,
        meaning="no issuers, turned, added or silent, with a smaller share of the issuers' weight "
        "before or after, reverse the decision, whatever and how much they report",
    )


def _turned(
    value: Floats, weight: Floats, trim: float, worst: float
) -> tuple[int | None, float | None, str]:
    """Return the fewest issuers that reverse the decision when they report the worst, by search.

    Every set of them is tried while there are at most ``SETS_MAX``, then those that favour the
    better arm most and those with the greatest pull.
    """
    for size in range(1, len(value) + 1):
        turned = _sets(value, weight, worst, size)
        said, full = (np.repeat(column[None], len(turned), axis=0) for column in (value, weight))
        np.put_along_axis(said, turned, worst, axis=1)
        np.put_along_axis(full, turned, FULL, axis=1)
        means = _trimmed_means(said, full, trim)
        best = int(np.argmin(means))
        if means[best] < NOTHING * worst:
            share = float(size * FULL / full[best].sum())
            attack = f"the worst in the better arm and the best in the other, from {size} issuers"
            return size, share, attack
    return None, None, "none found"


def _sets(value: Floats, weight: Floats, worst: float, size: int) -> Ints:
    """Return (r, size): which issuers to try."""
    if comb(len(value), size) <= SETS_MAX:
        return np.array(list(combinations(range(len(value)), size)), np.int64)
    orders = np.argsort(-value, kind="stable"), np.argsort((worst - value) * weight, kind="stable")
    return np.stack([order[:size] for order in orders])


def _trimmed_means(value: Floats, weight: Floats, trim: float) -> Floats:
    """Return (r,): the trimmed mean of each of (r, m) rows."""
    order = np.argsort(value, axis=1, kind="stable")
    ordered, part = (np.take_along_axis(column, order, axis=1) for column in (value, weight))
    total = part.sum(axis=1, keepdims=True)
    upper = np.cumsum(part, axis=1) / total
    inside = np.minimum(upper, 1 - trim) - np.maximum(upper - part / total, trim)
    share = np.maximum(inside, 0.0) / (1 - 2 * trim)
    return np.asarray((share * ordered).sum(axis=1), np.float64)
