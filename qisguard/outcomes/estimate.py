"""The two ways to estimate a difference of arms: pooled votes, and a trimmed mean across issuers.

Both come with an interval that leaves out one issuer at a time, because patients of one hospital
are alike: at an intra-cluster correlation of .05, intervals that ignore it cover 84 % of the time
for one arm instead of 95 %. ``benchmarks/synthesis_coverage.py`` measures the coverage.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats
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
    """Return the trimmed mean across issuers; the arms are means over the same issuers.

    The interval is the jackknife's, with the Student quantile of the issuers that are not trimmed
    (Tukey and McLaughlin 1963), counted by what their weights are worth. ``across`` names another
    estimator instead (``robust.ACROSS``).
    """
    found, scale = tally.differences(), tally.scale
    size = len(found.value)
    if across != TRIMMED_MEAN:
        return _located(tally, found, across)
    arms = found.arms @ kept(found.value, found.weight, trim)
    without = without_each(found, trim)
    variances = jackknife_variance(without, np.array([*arms, arms[0] - arms[1]]))
    quantile = t_quantile(float(clusters_worth(found.weight)) * (1 - 2 * trim) - 1)
    first, second = (
        tally.arm(place, float(arms[place]), float(variances[place]), quantile) for place in (0, 1)
    )
    low, high = around(first, second, float(variances[2]), quantile, scale.span)
    return Estimate(
        method=ISSUER_TRIMMED,
        note=f"mean of {size} issuers' differences, {trim:.0%} trimmed at each end; "
        "interval from leaving out each",
        arms=(first, second),
        difference=float(arms[0] - arms[1]),
        low=low,
        high=high,
        issuers=tuple(found.issuer.tolist()),
        without=without[2],
        shares=found.weight / found.weight.sum(),
    )


def _located(tally: Tally, found: Differences, across: str) -> Estimate:
    quantile = t_quantile(float(clusters_worth(found.weight)) - 1)
    located = locate(found, across, quantile)
    arms, variances = found.arms @ located.shares, located.variances
    first, second = (
        tally.arm(place, float(arms[place]), float(variances[place]), quantile) for place in (0, 1)
    )
    low, high = around(first, second, float(variances[2]), quantile, tally.scale.span)
    return Estimate(
        method=f"issuer-{across}",
        note=f"{across} of {len(found.value)} issuers' differences; interval from {located.how}",
        arms=(first, second),
        difference=float(arms[0] - arms[1]),
        low=low,
        high=high,
        issuers=tuple(found.issuer.tolist()),
        without=located.without[2],
        shares=found.weight / found.weight.sum(),
    )
