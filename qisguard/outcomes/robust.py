"""Location of weighted values that a few of them cannot drag away: one share a value, adding to 1.

- Every estimator is a function from (m,) values and (m,) weights to (m,) shares; the location is
  ``shares @ value``. So what decides about a difference also says whose arms it is about.
- A weight counts like as many equal values. Nothing depends on the order of the values, except
  which block of ``median_of_means_shares`` they are in.
- ``issuers.kept`` is the trimmed mean. It is the default across issuers; docs/decisions/0002 says
  what the others gain and lose.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.issuers import FULL, Differences

Floats: TypeAlias = NDArray[np.float64]
Shares: TypeAlias = Callable[[Floats, Floats], Floats]

TRIMMED_MEAN = "trimmed-mean"
MAD_TO_SIGMA = 1.482602218505602
"""1 / Phi^-1(3/4): the standard deviation of normal values, in median absolute deviations."""
HUBER_K = 1.345
"""Corner of Huber's psi, in standard deviations: 95 % efficient for normal values (Huber 1964)."""
BLOCKS = 7
"""Blocks of the median of means: three hostile blocks do not move it far."""
ROUNDING = 1e-12


def weighted_median(value: Floats, weight: Floats) -> float:
    """Return the weighted median of (m,) values (Edgeworth 1888).

    Half the weight lies at or below it and half at or above; where two values fit, their mean.
    """
    low, high = _middle(value, weight)
    return low + (high - low) / 2


def median_shares(value: Floats, weight: Floats) -> Floats:
    """Return the shares of the weighted median; equal values share one in any order."""
    result = np.zeros(len(value))
    for middle in _middle(value, weight):
        alike = np.where(value == middle, weight, 0.0)
        result += 0.5 * alike / alike.sum()
    return result


def _middle(value: Floats, weight: Floats) -> tuple[float, float]:
    """Return the one or two values in the middle of the weight."""
    order = np.argsort(value, kind="stable")
    order = order[weight[order] > 0]
    below = np.cumsum(weight[order])
    half = below[-1] / 2
    slack = ROUNDING * below[-1]
    low, high = np.searchsorted(below, [half - slack, half + slack])
    return float(value[order[low]]), float(value[order[high]])


def equal_median_shares(value: Floats, weight: Floats) -> Floats:
    """Return the shares of the median of the values that have any weight."""
    return median_shares(value, (weight > 0).astype(np.float64))


def deviation(value: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted median and the weighted median absolute deviation (Hampel 1974)."""
    centre = weighted_median(value, weight)
    return centre, weighted_median(np.abs(value - centre), weight)


def huber(value: Floats, weight: Floats, scale: float, k: float = HUBER_K) -> float:
    """Return Huber's M-estimate of location for a known positive ``scale`` (Huber 1964).

    The sum of ``weight * psi((value - location) / scale)`` is linear between the 2 m places where
    a value enters or leaves psi's middle piece, and falls: the zero is found, not approached.
    """
    reach = k * scale
    corners = np.unique(np.concatenate([value - reach, value + reach]))
    order = np.argsort(value, kind="stable")
    ordered, mass = value[order], weight[order]
    sums = np.concatenate([[0.0], np.cumsum(mass)])
    moments = np.concatenate([[0.0], np.cumsum(mass * ordered)])
    low = np.searchsorted(ordered, corners - reach, side="left")
    high = np.searchsorted(ordered, corners + reach, side="right")
    middle = moments[high] - moments[low] - corners * (sums[high] - sums[low])
    pull = middle + reach * (sums[-1] - sums[high] - sums[low])
    slack = ROUNDING * reach * sums[-1]
    last = int(np.searchsorted(-pull, -slack, side="left")) - 1  # the last place with pull left
    first = int(np.searchsorted(-pull, slack, side="right"))  # the first that pulls back
    last, first = max(last, 0), min(first, len(corners) - 1)
    if first - last > 1:  # level zero between them: any point there solves it, the middle is taken
        return float((corners[last + 1] + corners[first - 1]) / 2)
    step = pull[last] - pull[first]
    part = pull[last] / step if step > 0 else 0.5
    return float(corners[last] + part * (corners[first] - corners[last]))


def huber_shares(value: Floats, weight: Floats) -> Floats:
    """Return the shares of Huber's estimate, with the normalised MAD for a scale.

    Without a scale, that is when more than half of the weight says the same, it is the median.
    """
    _, spread = deviation(value, weight)
    scale = spread * MAD_TO_SIGMA
    if scale <= 0:
        return median_shares(value, weight)
    distance = np.abs(value - huber(value, weight, scale))
    reach = HUBER_K * scale
    result: Floats = weight * (reach / np.maximum(distance, reach))
    return np.asarray(result / result.sum(), np.float64)


def median_of_means_shares(value: Floats, weight: Floats, blocks: int = BLOCKS) -> Floats:
    """Return the shares of the median of block means (Nemirovsky and Yudin 1983, section 2.2).

    Values are dealt to ``blocks`` blocks in their order, one after the other, and every block that
    has weight counts alike. The order must not be an attacker's to choose: issuers come in that of
    the signed roster.
    """
    place = np.flatnonzero(weight > 0)
    block = np.arange(len(place)) % min(blocks, len(place))
    mass = np.bincount(block, weight[place])
    means = np.bincount(block, weight[place] * value[place]) / mass
    result = np.zeros(len(value))
    result[place] = median_shares(means, np.ones(len(means)))[block] * weight[place] / mass[block]
    return result


MEDIAN, WEIGHTED_MEDIAN = "median", "weighted-median"
ACROSS: Mapping[str, Shares] = {
    MEDIAN: equal_median_shares,
    WEIGHTED_MEDIAN: median_shares,
    "huber": huber_shares,
    "median-of-means": median_of_means_shares,
}
"""Ways to decide across issuers beside the trimmed mean, by the name that settings use."""


@dataclass(frozen=True, slots=True)
class Located:
    """Who decides across m issuers, and how sure that is.

    Attributes:
        shares: (m,) share of each issuer, adding up to 1.
        without: (m,) the difference with one issuer left out.
        variance: of the difference.
        how: where the variance comes from, in words.
    """

    shares: Floats
    without: Floats
    variance: float
    how: str


def locate(found: Differences, across: str, quantile: float) -> Located:
    """Return what the estimator named ``across`` makes of issuers' differences.

    ``quantile`` is Student's, of the interval that is wanted.
    """
    shares_of = ACROSS[across]
    shares, without = shares_of(found.value, found.weight), without_each_of(found, shares_of)
    if across in (MEDIAN, WEIGHTED_MEDIAN):
        weight = found.weight if across == WEIGHTED_MEDIAN else np.ones(len(found.value))
        variance = median_variance(found.value, weight, quantile)
        return Located(shares, without, variance, "the quantiles beside it")
    jackknife = float(without.var()) * (len(found.value) - 1)
    return Located(shares, without, jackknife, "leaving out each")


def without_each_of(found: Differences, shares_of: Shares) -> Floats:
    """Return (m,): the difference with one issuer left out."""
    rows = []
    for place in range(len(found.value)):
        weight = found.weight.copy()
        weight[place] = 0.0
        rows.append(float(found.value @ shares_of(found.value, weight)))
    return np.array(rows, np.float64)


def median_variance(value: Floats, weight: Floats, quantile: float) -> float:
    """Return the variance of the weighted median of (m,) values.

    Leaving one issuer out says too little about a median: its intervals cover .73 instead of .95.
    Woodruff's interval instead (1952): from the quantile at 1/2 less the error of the share below
    to that at 1/2 plus it.
    """
    part = weight / weight.sum()
    order = np.argsort(value, kind="stable")
    middle = np.cumsum(part[order]) - part[order] / 2
    half = quantile / 2 * float(np.sqrt((part**2).sum()))
    low, high = np.interp([0.5 - half, 0.5 + half], middle, value[order])
    return float(((high - low) / 2 / quantile) ** 2)


def fewest_turned(
    found: Differences, shares_of: Shares, sign: float, worst: float = -1.0
) -> tuple[int | None, float | None]:
    """Return how few issuers reverse the decision when they report ``worst``, and their share.

    A search among the issuers that pull hardest, not a bound: none is known for every estimator.
    """
    value = sign * found.value
    order = np.argsort(-(value - worst) * found.weight, kind="stable")
    for size in range(1, len(value) + 1):
        told, weight = value.copy(), found.weight.copy()
        told[order[:size]], weight[order[:size]] = worst, FULL
        if shares_of(told, weight) @ told < -1e-9:
            return size, float(size * FULL / weight.sum())
    return None, None
