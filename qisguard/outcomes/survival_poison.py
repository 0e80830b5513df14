"""How little poison turns pooled Kaplan-Meier at a horizon: exact, censored or not.

Write the survival of an arm with Y_j at risk, d_j deaths, s_j = Y_j - d_j, as a telescoping
product. Then

- *added deaths* do most just before the horizon: with z_j of the x added still there at step j,
  each ratio (s_j + z_j) / (Y_{j+1} + z_j) falls in z_j, because censoring makes s_j >= Y_{j+1};
- *added immortals* raise every factor;
- *removed* poison does most when the longest survivors go from the better arm and the latest
  deaths from the worse one (the same ratios, with a minus).

Without censoring this is the contamination arithmetic of Horowitz and Manski 1995: with an equal
share in each arm, D inside the observed data and D / (1 + D) added to it. With censoring those two
are no longer floors.

Weights are real numbers here and votes are whole, so a floor can only be lower than the truth.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats
from qisguard.outcomes.fragility import FlipRadius, Move, cheaper, fewest, radius
from qisguard.outcomes.survival import Counts, survival

GRID = 48


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm of the pooled data: (t,) at risk and deaths, all its weight, and who survives.

    Or that of each of g issuers, every array with (g,) before its own shape; what is removed is
    then (g,) as well. ``later``: the weight that dies at each time or after it.
    """

    at_risk: Floats
    deaths: Floats
    later: Floats
    weight: Floats
    survivors: Floats

    @classmethod
    def of(cls, counts: Counts, arm: int) -> "Arm":
        """Return an arm with its groups pooled."""
        deaths = counts.deaths[arm].sum(axis=0)
        return cls(
            counts.at_risk[arm].sum(axis=0),
            deaths,
            _later(deaths),
            counts.weight[arm].sum(),
            counts.survivors[arm].sum(),
        )

    @classmethod
    def each(cls, counts: Counts, arm: int) -> "Arm":
        """Return an arm of every issuer."""
        deaths = counts.deaths[arm]
        return cls(
            counts.at_risk[arm],
            deaths,
            _later(deaths),
            counts.weight[arm],
            counts.survivors[arm],
        )

    def with_immortals(self, added: Floats) -> Floats:
        """Return (k,) survival when (k,) weight that never dies is added."""
        return survival(self.at_risk + added[:, None], self.deaths)

    def with_early_deaths(self, added: Floats) -> Floats:
        """Return (k,) survival when (k,) weight that dies on day 0 is added."""
        own = survival(self.at_risk, self.deaths)
        share = self.weight / np.maximum(self.weight + added, NOTHING)
        return np.asarray(own * share, np.float64)

    def with_late_deaths(self, added: Floats) -> Floats:
        """Return (k,) survival when (k,) weight that dies at the horizon is added."""
        total = np.maximum(self.survivors + added, NOTHING)
        last = np.where(added > 0, self.survivors / total, 1.0)
        return np.asarray(self.with_immortals(added) * last, np.float64)

    def without_survivors(self, removed: Floats) -> Floats:
        """Return (k,) survival when the (k,) weight that was seen alive longest is removed."""
        alive = self.at_risk - self.later
        gone = np.minimum(removed[..., None], np.maximum(alive, 0.0))
        return survival(self.at_risk - gone, self.deaths)

    def without_deaths(self, removed: Floats) -> Floats:
        """Return (k,) survival when the (k,) weight that died latest is removed."""
        gone = np.minimum(removed[..., None], self.later)
        fewer = np.clip(removed[..., None] - (self.later - self.deaths), 0.0, self.deaths)
        return survival(self.at_risk - gone, self.deaths - fewer)


def _later(deaths: Floats) -> Floats:
    return np.asarray(deaths[..., ::-1].cumsum(axis=-1)[..., ::-1], np.float64)


def contaminated(better: Arm, worse: Arm, poison: float) -> tuple[float, float]:
    """Return bounds of (better - worse) if a share ``poison`` of each arm's weight is removed."""
    first, second = np.array([poison * better.weight]), np.array([poison * worse.weight])
    low = better.without_survivors(first) - worse.without_deaths(second)
    high = better.without_deaths(first) - worse.without_survivors(second)
    return float(low[0]), float(high[0])


def pooled_radius(better: Arm, worse: Arm, search: bool = True) -> FlipRadius:
    """Return how little weight turns pooled Kaplan-Meier against the better arm."""
    total = float(better.weight + worse.weight)
    added = _floor(better.with_late_deaths, worse.with_immortals, total)
    inside = _floor(better.without_survivors, worse.without_deaths, total)
    size, attack = _cheapest(better, worse) if search else (None, "not searched")
    allowed = "at any follow-up times"
    return radius(total, added, inside, size, attack, allowed)


def _floor(fall: Move, rise: Move, total: float) -> float:
    """Return a floor under x + y with ``fall(x) <= rise(y)``; both moves are monotone.

    For y between two grid points, x is at least what the upper one needs: the floor holds between
    the points too.
    """
    steps: Floats = total * np.exp2(np.arange(-12, 13, dtype=np.float64))
    zero = np.zeros(1)
    plans = (
        (fall(steps) <= rise(zero), steps),
        (fall(zero) <= rise(steps), steps),
        (fall(steps) <= rise(steps), 2 * steps),
    )
    enough = [cost[np.argmax(reached)] for reached, cost in plans if reached.any()]
    most = float(min(enough, default=2 * steps[-1]))
    grid = np.linspace(0.0, most, GRID)
    needed = _need(fall, rise(grid), most)
    return float(np.min(grid[:-1] + needed[1:]))


def _need(fall: Move, target: Floats, most: float) -> Floats:
    """Return (k,): a floor under the weight for which ``fall`` reaches (k,) targets (bisection)."""
    low, high = np.zeros(len(target)), np.full(len(target), most)
    for _ in range(20):
        middle = (low + high) / 2
        above = fall(middle) > target
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return low


def _cheapest(better: Arm, worse: Arm) -> tuple[int | None, str]:
    """Return the fewest whole votes of weight 1 that reverse the decision, and how."""
    limit = int(4 * (better.weight + worse.weight)) + 2
    zero = np.zeros(1)
    fall, rise = better.with_late_deaths, worse.with_immortals
    high, low = fall(zero), rise(zero)
    alone: tuple[tuple[str, Move], ...] = (
        ("deaths just before the horizon in the better arm", lambda n: fall(n) - low),
        ("early deaths in the better arm", lambda n: better.with_early_deaths(n) - low),
        ("immortals in the worse arm", lambda n: high - rise(n)),
    )
    best: tuple[int | None, str] = (None, "none found")
    for name, gap in alone:
        best = cheaper(best, fewest(gap, limit), name)
    most = limit if best[0] is None else best[0]
    splits = np.unique(np.linspace(0, most, min(most + 1, 129)).astype(np.int64))
    down, up = fall(splits.astype(np.float64)), rise(splits.astype(np.float64))
    place = np.searchsorted(up, down + NOTHING, side="right")  # the first immortals above each fall
    passed = place < len(splits)
    if passed.any():
        size = int((splits[passed] + splits[place[passed]]).min())
        name = "deaths just before the horizon in the better arm and immortals in the worse"
        best = cheaper(best, size, name)
    return best
