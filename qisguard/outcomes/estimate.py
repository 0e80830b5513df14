"""The two ways to estimate a difference of arms: pooled votes, and a trimmed mean across issuers.

Both come with an interval that leaves out one issuer at a time, because patients of one hospital
are alike: at an intra-cluster correlation of .05, intervals that ignore it cover 84 % of the time
for one arm instead of 95 %. ``benchmarks/issuer_estimators.py`` measures the coverage.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.issuers import Differences, jackknife_variance, kept, without_each
from qisguard.outcomes.robust import TRIMMED_MEAN, locate
from qisguard.outcomes.survival import (
    Counts,
    Floats,
    effective_size,
    influence,
    leave_one_out,
    score_interval,
    survival,
    t_quantile,
)
from qisguard.outcomes.votes import Votes

POOLED = "pooled"
ISSUER_TRIMMED = "issuer-trimmed"


@dataclass(frozen=True, slots=True)
class ArmEstimate:
    """Survival of one arm at the horizon; ``effective`` independent patients are worth as much."""

    estimate: float
    low: float
    high: float
    effective: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one method says, first arm less second.

    ``issuers`` are the m that take part, ``without`` (m,) the difference without each, ``shares``
    (m,) their shares of the weight that decides.
    """

    method: str
    note: str
    arms: tuple[ArmEstimate, ArmEstimate]
    difference: float
    low: float
    high: float
    issuers: tuple[str, ...]
    without: Floats
    shares: Floats


def pooled_estimate(counts: Counts, votes: Votes, weights: Floats) -> Estimate:
    """Return Kaplan-Meier over all votes, with an interval that lets issuers differ."""
    arms = survival(counts.at_risk.sum(axis=1), counts.deaths.sum(axis=1))
    by_issuer = counts.weight.sum(axis=0)
    present = np.flatnonzero(by_issuer > 0)
    without = leave_one_out(counts)[:, present]
    if len(present) > 1:
        variances = jackknife_variance(np.stack([*without, without[0] - without[1]]))
        quantile = t_quantile(len(present) - 1)
        note = f"interval from leaving out each of {len(present)} issuers"
    else:
        parts = influence(counts, votes.arm, votes.value, votes.event, weights) ** 2
        each = np.bincount(votes.arm, parts, 2)
        variances = np.array([each[0], each[1], each.sum()])
        quantile = t_quantile(len(votes) - 1)
        note = "one issuer only: the interval takes patients as independent, which is optimistic"
    return _estimate(
        POOLED,
        note,
        arms,
        variances,
        quantile,
        (votes, weights),
        tuple(votes.issuers[place] for place in present),
        without[0] - without[1],
        by_issuer[present] / by_issuer.sum(),
    )


def issuer_estimate(
    found: Differences, votes: Votes, weights: Floats, trim: float, across: str = TRIMMED_MEAN
) -> Estimate:
    """Return the trimmed mean across issuers; the arms are means over the same issuers.

    The interval is the jackknife's, with the Student quantile of the issuers that are not trimmed
    (Tukey and McLaughlin 1963). ``across`` names another estimator instead (``robust.ACROSS``).
    """
    size = len(found.value)
    if across != TRIMMED_MEAN:
        quantile = t_quantile(size - 1)
        located = locate(found, across, quantile)
        return _estimate(
            f"issuer-{across}",
            f"{across} of {size} issuers' differences; interval from {located.how}",
            found.arms @ located.shares,
            located.variances,
            quantile,
            (votes, weights),
            tuple(votes.issuers[place] for place in found.issuer),
            located.without[2],
            found.weight / found.weight.sum(),
        )
    shares = kept(found.value, found.weight, trim)
    without = without_each(found, trim)
    return _estimate(
        ISSUER_TRIMMED,
        f"mean of {size} issuers' differences, {trim:.0%} trimmed at each end; "
        "interval from leaving out each",
        found.arms @ shares,
        jackknife_variance(without),
        t_quantile(int(size * (1 - 2 * trim)) - 1),
        (votes, weights),
        tuple(votes.issuers[place] for place in found.issuer),
        without[2],
        found.weight / found.weight.sum(),
    )


def _estimate(
    method: str,
    note: str,
    arms: Floats,
    variances: Floats,
    quantile: float,
    data: tuple[Votes, Floats],
    issuers: tuple[str, ...],
    without: Floats,
    shares: Floats,
) -> Estimate:
    votes, weights = data
    first, second = (
        _arm(float(arms[arm]), float(variances[arm]), weights[votes.arm == arm], quantile)
        for arm in (0, 1)
    )
    difference = float(arms[0] - arms[1])
    half = quantile * float(np.sqrt(variances[2]))
    if variances[2] <= 0:  # all alike: fall back on the two arms' own intervals
        half = max(first.high - first.low, second.high - second.low)
    return Estimate(
        method=method,
        note=note,
        arms=(first, second),
        difference=difference,
        low=max(-1.0, difference - half),
        high=min(1.0, difference + half),
        issuers=issuers,
        without=without,
        shares=shares,
    )


def _arm(estimate: float, variance: float, weights: Floats, quantile: float) -> ArmEstimate:
    effective = effective_size(estimate, variance, weights)
    return ArmEstimate(estimate, *score_interval(estimate, effective, quantile), effective)
