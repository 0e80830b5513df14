"""Deciding across issuers: one difference of arms per issuer, and a trimmed mean of them.

- An issuer's difference is computed from its own cases alone, so one issuer moves one number
  within a range, whatever it invents.
- Its weight saturates at ``FULL``: inventing more cases buys nothing. Equal weights would let an
  honest hospital with one case in an arm speak as loudly as one with fifty.
- The trimmed mean is the mean of the quantile function between the trims (Huber 1981, section
  3.3). ``docs/decisions/0002-deciding-across-issuers.md`` has the alternatives, with figures.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats, Ints

FULL = 2.0
"""Precision at which an issuer has full weight: four known outcomes in each arm, 4·4 / (4 + 4)."""


@dataclass(frozen=True, slots=True)
class Differences:
    """What each of g issuers says; an issuer without a known outcome in an arm says nothing.

    Attributes:
        issuer: (m,) index of the issuers that have a difference, ascending.
        arms: (2, m) the statistic of each arm.
        value: (m,) difference, first arm less second.
        weight: (m,) min(precision, FULL), positive.
    """

    issuer: Ints
    arms: Floats
    value: Floats
    weight: Floats

    @classmethod
    def of(cls, arms: Floats, known: Floats) -> "Differences":
        """Return them from (2, g) statistics and the (2, g) weight of what they are made from."""
        with_both = np.flatnonzero((known > 0).all(axis=0))
        arms, weight = arms[:, with_both], precision(known[:, with_both])
        return cls(with_both, arms, arms[0] - arms[1], np.minimum(weight, FULL))


def precision(known: Floats) -> Floats:
    """Return (m,): the inverse variance of a difference of (2, m) arms, up to a constant."""
    total = known.sum(axis=0)
    return np.asarray(
        np.divide(known.prod(axis=0), total, out=np.zeros(len(total)), where=total > 0), np.float64
    )


def kept(value: Floats, weight: Floats, trim: float) -> Floats:
    """Return (..., m): the share of each value in the trimmed mean, adding up to 1.

    Args:
        value: (m,) what is averaged, and sorted by.
        weight: (..., m) weights; several rows share one sorting.
        trim: share of the weight that is cut off at each end, below 1/2.
    """
    order = np.argsort(value, kind="stable")
    sorted_weight = weight[..., order]
    total = sorted_weight.sum(axis=-1, keepdims=True)
    upper = np.cumsum(sorted_weight, axis=-1) / total
    lower = upper - sorted_weight / total
    inside = np.minimum(upper, 1 - trim) - np.maximum(lower, trim)
    result = np.zeros_like(sorted_weight)
    result[..., order] = np.maximum(inside, 0.0) / (1 - 2 * trim)
    return result


def trimmed_mean(value: Floats, weight: Floats, trim: float) -> float:
    """Return the weighted trimmed mean of (m,) values."""
    return float(kept(value, weight, trim) @ value)


def without_each(found: Differences, trim: float) -> Floats:
    """Return (m,): the trimmed mean with one issuer left out."""
    weights = np.tile(found.weight, (len(found.weight), 1))
    np.fill_diagonal(weights, 0.0)
    return np.asarray(kept(found.value, weights, trim) @ found.value, np.float64)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """The quantile function of the issuers' differences, as its integral from 0."""

    share: Floats
    integral: Floats

    @classmethod
    def of(cls, value: Floats, weight: Floats) -> "Quantiles":
        """Return the quantiles of (m,) weighted values."""
        order = np.argsort(value, kind="stable")
        part = weight[order] / weight.sum()
        zero = np.zeros(1)
        return cls(
            np.concatenate([zero, np.cumsum(part)]),
            np.concatenate([zero, np.cumsum(part * value[order])]),
        )

    def between(self, low: Floats, high: Floats) -> Floats:
        """Return the integral of the quantile function from ``low`` to ``high``, each (k,)."""
        ends = np.interp(high, self.share, self.integral)
        result: Floats = ends - np.interp(low, self.share, self.integral)
        return result

    def turned(self, hostile: Floats, trim: float, worst: float) -> Floats:
        """Return (k,): a floor under the trimmed mean when issuers turn against the first arm.

        ``hostile`` is the share of the weight that they have, before or after, whichever is more;
        ``worst`` is the least they can say. Issuers that turn or fall silent also take their own
        honest values away, at worst the highest ones. The floor removes the top ``hostile`` of
        the weight and adds as much at the worst. No such issuers get below it: the trimmed mean
        rises with every value, and at every level the honest rest above it is at least what the
        floor has.
        """
        at_worst = np.clip(hostile - trim, 0.0, 1 - 2 * trim)
        low = np.maximum(trim - hostile, 0.0)
        high = np.maximum(1 - trim - hostile, low)
        result: Floats = (self.between(low, high) + worst * at_worst) / (1 - 2 * trim)
        return result

    def cleaned(self, poison: Floats, trim: float) -> tuple[Floats, Floats]:
        """Return (k,) bounds of the trimmed mean if a share ``poison`` of the weight were removed.

        Horowitz and Manski 1995: the clean distribution is what is left of the observed one, so
        its quantile function lies between those without the highest and the lowest share.
        """
        size = (1 - poison) * (1 - 2 * trim)
        low, high = trim * (1 - poison), (1 - trim) * (1 - poison)
        return self.between(low, high) / size, self.between(low + poison, high + poison) / size
