"""How much two arms would vary if other issuers had been asked: leave out one at a time."""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats, Ints
from qisguard.outcomes.intervals import (
    clusters_worth,
    effective_size,
    jackknife_variance,
    score_interval,
    t_quantile,
)
from qisguard.outcomes.tally import ArmEstimate, Pooled, around


@dataclass(frozen=True, slots=True)
class Spread:
    """(3,) variances of the first arm, the second and their difference, with Student quantiles."""

    variances: Floats
    quantiles: Floats
    note: str


def spread(arms: Floats, without: Floats, weight: Floats, alone: Floats, votes: int) -> Spread:
    """Return the variances of two arms.

    Args:
        arms: (2,) the statistic of each arm.
        without: (2, m) the same without each of m issuers.
        weight: (2, m) the issuers' weights.
        alone: (2,) variances when votes are independent, for the one issuer that leaves no choice.
        votes: how many there are.
    """
    size = without.shape[1]
    if size == 1:
        return Spread(
            np.array([*alone, alone.sum()]),
            np.full(3, t_quantile(votes - 1)),
            "one issuer only: the interval takes patients as independent, which is optimistic",
        )
    whole, rest = np.array([*arms, arms[0] - arms[1]]), [*without, without[0] - without[1]]
    first, second = weight / weight.sum(axis=1, keepdims=True) ** 2
    parts = np.stack([first, second, first + second])
    return Spread(
        jackknife_variance(np.stack(rest), whole),
        np.array([t_quantile(float(worth) - 1) for worth in clusters_worth(parts)]),
        f"interval from leaving out each of {size} issuers",
    )


def share_arm(estimate: float, variance: float, quantile: float, kish: float) -> ArmEstimate:
    """Return a share in [0, 1] with Wilson's interval on its effective size."""
    effective = effective_size(estimate, variance, kish)
    return ArmEstimate(estimate, *score_interval(estimate, effective, quantile), effective)


def pooled_shares(arms: Floats, without: Floats, found: Spread, kish: Floats) -> Pooled:
    """Return two arms whose statistic is a share in [0, 1]; ``kish`` (2,) bounds their sizes."""
    first, second = (
        share_arm(
            *(float(column[place]) for column in (arms, found.variances, found.quantiles, kish))
        )
        for place in (0, 1)
    )
    low, high = around(
        first.estimate - second.estimate,
        (first, second),
        float(found.variances[2]),
        float(found.quantiles[2]),
        1.0,
    )
    return Pooled((first, second), low, high, without, found.note)


def kish_sizes(arm: Ints, weights: Floats) -> Floats:
    """Return (2,): how many equal votes are worth what the weights of each arm are (Kish 1965)."""
    sums, squares = np.bincount(arm, weights, 2), np.bincount(arm, weights**2, 2)
    return np.asarray(np.divide(sums**2, squares, out=np.zeros(2), where=squares > 0))
