"""How little poison would change the decision: a guaranteed floor, and the best attack found.

What each kind of outcome can be made to say when all votes are pooled is in a module of its own.
Across issuers it is the same for all of them: an issuer moves one number within a range, and the
floor is ``Quantiles.turned``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats
from qisguard.outcomes.issuers import FULL, Differences, Quantiles, trimmed_mean

SHARES: Floats = np.arange(1, 1001) / 1000.0


@dataclass(frozen=True, slots=True)
class FlipRadius:
    """The smallest share of poisoned weight that changes the decision, as a pair.

    Attributes:
        guaranteed: no poison below this share of all the weight, added to these data, reverses the
            decision, whatever it says. Weight is that of the votes (pooled) or of the issuers.
        inside: if less than this share of the observed weight is poison, the decision without it
            would be the same.
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
    """Return the fewest issuers that reverse the decision when they report the worst, by search."""
    orders = {
        "the issuers that favour the better arm most": np.argsort(-value, kind="stable"),
        "the issuers with the greatest pull": np.argsort(-(value - worst) * weight, kind="stable"),
    }
    for size in range(1, len(value) + 1):
        for name, order in orders.items():
            said, full = value.copy(), weight.copy()
            said[order[:size]], full[order[:size]] = worst, FULL
            if trimmed_mean(said, full, trim) < NOTHING * worst:
                share = float(size * FULL / full.sum())
                attack = f"the worst in the better arm and the best in the other, from {name}"
                return size, share, attack
    return None, None, "none found"
