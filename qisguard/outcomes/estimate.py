"""The two ways to estimate a difference of arms: pooled votes, and a trimmed mean across issuers.

Both come with an interval that leaves out one issuer at a time, because patients of one hospital
are alike: at an intra-cluster correlation of .05, intervals that ignore it cover 84 % of the time
for one arm instead of 95 %. ``benchmarks/synthesis_coverage.py`` measures the coverage.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats
from qisguard.outcomes.intervals import clusters_worth, jackknife_variance, t_quantile
from qisguard.outcomes.issuers import Differences, kept, without_each
from qisguard.outcomes.robust import TRIMMED_MEAN, locate
from qisguard.outcomes.tally import ArmEstimate, Tally, around

POOLED = "pooled"
ISSUER_TRIMMED = "issuer-trimmed"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one method says, first arm less second.

    ``issuers`` are indices of the m that take part, ``without`` (m,) the difference without each,
    ``shares`` (m,) their shares of the weight that decides.
    """

    method: str
    note: str
    arms: tuple[ArmEstimate, ArmEstimate]
    difference: float
    low: float
    high: float
    issuers: tuple[int, ...]
    without: Floats
    shares: Floats


def pooled_estimate(tally: Tally) -> Estimate:
    """Return the statistic over all votes, with an interval that lets issuers differ."""
    pooled, by_issuer = tally.pooled(), tally.weight.sum(axis=0)
    present = np.flatnonzero(by_issuer > 0)
    return Estimate(
        method=POOLED,
        note=pooled.note,
        arms=pooled.arms,
        difference=pooled.arms[0].estimate - pooled.arms[1].estimate,
        low=pooled.low,
        high=pooled.high,
        issuers=tuple(present.tolist()),
        without=pooled.without[0] - pooled.without[1],
        shares=by_issuer[present] / by_issuer.sum(),
    )


def issuer_estimate(tally: Tally, trim: float, across: str = TRIMMED_MEAN) -> Estimate:
    """Return the trimmed mean of the issuers' differences; the arms are means of all issuers.

    The interval is the jackknife's, with the Student quantile of the issuers that are not trimmed
    (Tukey and McLaughlin 1963), counted by what their weights are worth. ``across`` names another
    estimator instead (``robust.ACROSS``).

    The arms are not those of the issuers that decide: an issuer whose arms are both near 1 has its
    difference in the middle more often than others, so that these arms were .05 too high where
    hospitals differ (``docs/decisions/0019-what-each-kind-compares.md``). An issuer moves the
    mean of its arm by no more than its share of the weight.
    """
    found, scale = tally.differences(), tally.scale
    size, worth = len(found.value), float(clusters_worth(found.weight))
    if across == TRIMMED_MEAN:
        shares, without = kept(found.value, found.weight, trim), without_each(found, trim)
        difference = float(shares @ found.value)
        variance = float(jackknife_variance(without, np.array(difference)))
        quantile = t_quantile(worth * (1 - 2 * trim) - 1)
        method, what, how = (
            ISSUER_TRIMMED,
            f"mean, {trim:.0%} trimmed at each end,",
            "leaving out each",
        )
    else:
        quantile = t_quantile(worth - 1)
        located = locate(found, across, quantile)
        difference, without = float(located.shares @ found.value), located.without
        variance, how = located.variance, located.how
        method, what = f"issuer-{across}", across
    arms = _arms(tally, found, t_quantile(worth - 1))
    low, high = around(difference, arms, variance, quantile, scale.span)
    return Estimate(
        method=method,
        note=f"{what} of {size} issuers' differences; interval from {how}; arms are means of all "
        "issuers",
        arms=arms,
        difference=difference,
        low=low,
        high=high,
        issuers=tuple(found.issuer.tolist()),
        without=without,
        shares=found.weight / found.weight.sum(),
    )


def _arms(tally: Tally, found: Differences, quantile: float) -> tuple[ArmEstimate, ArmEstimate]:
    """Return the weighted mean of each arm over all issuers, with the jackknife's interval."""
    total, parts = float(found.weight.sum()), found.arms * found.weight
    means = parts.sum(axis=1) / total
    rest = np.maximum(total - found.weight, NOTHING)
    without = (parts.sum(axis=1, keepdims=True) - parts) / rest
    variances = jackknife_variance(without, means)
    first, second = (
        tally.arm(place, float(means[place]), float(variances[place]), quantile) for place in (0, 1)
    )
    return first, second
