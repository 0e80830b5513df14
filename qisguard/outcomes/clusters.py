"""How much two arms would vary if other issuers had been asked: leave out one at a time."""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats, Ints
from qisguard.outcomes.intervals import (
    effective_size,
    jackknife_variance,
    score_interval,
    t_quantile,
)
from qisguard.outcomes.tally import ArmEstimate, Pooled, around


@dataclass(frozen=True, slots=True)
class Spread:
    """(3,) variances of the first arm, the second and their difference, and Student's quantile."""

    variances: Floats
    quantile: float
    note: str


def spread(without: Floats, alone: Floats, votes: int) -> Spread:
    """Return the variances of two arms.

    Args:
        without: (2, m) each arm without each of m issuers.
        alone: (2,) variances when votes are independent, for the one issuer that leaves no choice.
        votes: how many there are.
    """
    size = without.shape[1]
    if size > 1:
        variances = jackknife_variance(np.stack([*without, without[0] - without[1]]))
        note = f"interval from leaving out each of {size} issuers"
        return Spread(variances, t_quantile(size - 1), note)
    return Spread(
        np.array([*alone, alone.sum()]),
        t_quantile(votes - 1),
        "one issuer only: the interval takes patients as independent, which is optimistic",
    )


def share_arm(estimate: float, variance: float, quantile: float, kish: float) -> ArmEstimate:
    """Return a share in [0, 1] with Wilson's interval on its effective size."""
    effective = effective_size(estimate, variance, kish)
    return ArmEstimate(estimate, *score_interval(estimate, effective, quantile), effective)


def pooled_shares(arms: Floats, without: Floats, found: Spread, kish: Floats) -> Pooled:
    """Return two arms whose statistic is a share in [0, 1]; ``kish`` (2,) bounds their sizes."""
    first, second = (
        share_arm(float(arms[place]), float(found.variances[place]), found.quantile, float(size))
        for place, size in enumerate(kish)
    )
    low, high = around(first, second, float(found.variances[2]), found.quantile, 1.0)
    return Pooled((first, second), low, high, without, found.note)


def kish_sizes(arm: Ints, weights: Floats) -> Floats:
    """Return (2,): how many equal votes are worth what the weights of each arm are (Kish 1965)."""
    sums, squares = np.bincount(arm, weights, 2), np.bincount(arm, weights**2, 2)
    return np.asarray(np.divide(sums**2, squares, out=np.zeros(2), where=squares > 0))
