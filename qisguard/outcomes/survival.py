"""Weighted Kaplan-Meier from counts, and what one vote, one issuer or one arm adds to it.

- Everything derives from two arrays, the weight at risk and the weight that dies at each event
  time, per arm and group: groups are added to pool them and subtracted to leave one out.
- Kaplan and Meier 1958: deaths come before censorings on the same day, and the curve stays level
  after the last observation (Gill's convention), so ``known`` counts outcomes that are settled.
- Shapes: n votes, g groups (issuers), t distinct event times up to the horizon, 2 arms.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Bools, Floats, Ints, distinct, places, sums


@dataclass(frozen=True, slots=True)
class Counts:
    """What Kaplan-Meier needs to know, per arm and group.

    Attributes:
        times: (t,) distinct event times <= horizon, ascending.
        at_risk: (2, g, t) weight still observed at each time.
        deaths: (2, g, t) weight with its event at each time.
        weight: (2, g) all the weight.
        known: (2, g) weight whose state at the horizon is known: dead by then, or seen after it.
        survivors: (2, g) weight seen alive on the horizon day, after that day's deaths.
    """

    times: Floats
    at_risk: Floats
    deaths: Floats
    weight: Floats
    known: Floats
    survivors: Floats


def count(
    arm: Ints,
    group: Ints,
    time: Floats,
    event: Bools,
    weights: Floats,
    groups: int,
    horizon: float,
) -> Counts:
    """Return the counts of n votes; every argument but the last two is (n,)."""
    dies = event & (time <= horizon)
    dies &= weights > 0
    times = distinct(time[dies])
    size = len(times)
    cell = arm * groups + group
    seen = places(times, time)  # event times at which the vote is at risk
    ends = sums(cell * (size + 1) + seen, weights, 2 * groups * (size + 1))
    at_risk = ends.reshape(2, groups, size + 1)[:, :, :0:-1].cumsum(axis=2)[:, :, ::-1]
    hit = cell[dies] * size + seen[dies] - 1
    deaths = sums(hit, weights[dies], 2 * groups * size).reshape(2, groups, size)
    alive = (time > horizon) | ((time == horizon) & ~event)

    def total(mask: Bools) -> Floats:
        return sums(cell[mask], weights[mask], 2 * groups).reshape(2, groups)

    return Counts(
        times,
        at_risk,
        deaths,
        sums(cell, weights, 2 * groups).reshape(2, groups),
        total(alive | dies),
        total(alive),
    )


def curve(at_risk: Floats, deaths: Floats) -> Floats:
    """Return survival just after each event time: (..., t) from (..., t) weights."""
    safe = np.where(at_risk > NOTHING, at_risk, 1.0)
    hazard = np.where(at_risk > NOTHING, np.minimum(deaths / safe, 1.0), 0.0)
    return np.asarray(np.cumprod(1.0 - hazard, axis=-1), np.float64)


def survival(at_risk: Floats, deaths: Floats) -> Floats:
    """Return survival at the horizon: (...,) from (..., t) weights; 1 where nothing happened."""
    steps = curve(at_risk, deaths)
    if steps.shape[-1] == 0:
        return np.ones(steps.shape[:-1])
    return np.asarray(steps[..., -1])


def median(times: Floats, steps: Floats) -> float | None:
    """Return the first time with survival <= 1/2, or None when the curve stays above it."""
    below = np.flatnonzero(steps <= 0.5 + NOTHING)
    return float(times[below[0]]) if len(below) else None


def leave_one_out(counts: Counts) -> Floats:
    """Return (2, g): pooled survival of each arm without one group's votes."""
    rest_at_risk = counts.at_risk.sum(axis=1, keepdims=True) - counts.at_risk
    rest_deaths = counts.deaths.sum(axis=1, keepdims=True) - counts.deaths
    return survival(rest_at_risk, np.maximum(rest_deaths, 0.0))


def influence(counts: Counts, arm: Ints, time: Floats, event: Bools, weights: Floats) -> Floats:
    """Return (n,): how much each vote moves its arm's pooled survival, to first order.

    The derivative of log survival is ``-(dD - hazard dY) / (Y - D)`` at each event time: the
    weighted form of Greenwood's terms (Reid 1981). The sum of squares is the variance when votes
    are independent, which is assumed only where there is a single issuer.
    """
    if not len(counts.times):
        return np.zeros(len(time))
    at_risk, deaths = counts.at_risk.sum(axis=1), counts.deaths.sum(axis=1)
    left = at_risk - deaths
    rate = np.where(left > NOTHING, 1.0 / np.where(left > NOTHING, left, 1.0), 0.0)
    hazard = np.where(at_risk > NOTHING, deaths / np.where(at_risk > NOTHING, at_risk, 1.0), 0.0)
    passed = np.concatenate([np.zeros((2, 1)), np.cumsum(hazard * rate, axis=1)], axis=1)
    seen = np.searchsorted(counts.times, time, side="right")
    dies = event & (time <= counts.times[-1])
    own = np.where(dies, rate[arm, np.maximum(seen - 1, 0)], 0.0)
    result: Floats = -survival(at_risk, deaths)[arm] * weights * (own - passed[arm, seen])
    return result
