"""Numbers: the weighted median of each arm decides, the mean is shown beside it.

The median decides because no location estimate has a smaller worst bias: with a share f of the
weight poisoned it moves by at most the normal quantile of 1 / (2 (1 - f)) standard deviations,
.32 at f = .2 (Huber 1964). A mean moves as far as the template's range lets one value go.

The jackknife is not consistent for a median. Its interval is Woodruff's (1952): where the weight
below the median is a share of 1/2, with the variance that leaving out issuers gives that share, the
values at both ends of the share's interval are those of the median's. The difference of two such
intervals follows Zou and Donner 2008, with the correlation of the arms within issuers.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from qisguard.outcomes.arrays import NOTHING, Floats, sums
from qisguard.outcomes.cleaned import Cleaned, Cleaner
from qisguard.outcomes.clusters import Spread, kish_sizes, spread
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.intervals import effective_size, score_interval
from qisguard.outcomes.issuers import Differences
from qisguard.outcomes.median_poison import median_radius
from qisguard.outcomes.ordered import Grouped, Ordered
from qisguard.outcomes.share_poison import Share, added
from qisguard.outcomes.tally import ArmEstimate, Beside, Curve, Pooled, Scale, around
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes

POINTS = 256
"""Quantiles of a curve."""


@dataclass(frozen=True, slots=True)
class Medians:
    """The numbers of each arm in order, and their sums.

    Attributes:
        scale: the range is the template's, wider where votes are outside it.
        arms: the votes of each arm.
        grouped: the same by issuer.
        weight: (2, g) all the weight.
        sum: (2, g) weighted sum of the values.
        square: (2,) weighted sum of the squared distance from the arm's mean.
        kish: (2,) effective sizes by weight alone.
    """

    scale: Scale
    arms: tuple[Ordered, Ordered]
    grouped: tuple[Grouped, Grouped]
    weight: Floats
    sum: Floats
    square: Floats
    kish: Floats

    @staticmethod
    def scale_for(rule: OutcomeRule, horizon: int) -> Scale:
        """Return the template's range; there is no horizon."""
        sign = 1.0 if rule.higher_is_better else -1.0
        return Scale("median", rule.unit, rule.low, rule.high, sign)

    @classmethod
    def of(cls, votes: Votes, weights: Floats, rule: OutcomeRule, horizon: int) -> "Medians":
        """Return the numbers of n votes, at least one in each arm."""
        groups = len(votes.issuers)
        cell = votes.arm * groups + votes.issuer
        weight, total = (
            sums(cell, part, 2 * groups).reshape(2, groups)
            for part in (weights, weights * votes.value)
        )
        mean = total.sum(axis=1) / weight.sum(axis=1)
        first, second = (
            Ordered.of(votes.value[mine], weights[mine], votes.issuer[mine], groups)
            for mine in (votes.arm == 0, votes.arm == 1)
        )
        low = min(rule.low, float(first.value[0]), float(second.value[0]))
        high = max(rule.high, float(first.value[-1]), float(second.value[-1]))
        return cls(
            replace(cls.scale_for(rule, horizon), low=low, high=high),
            (first, second),
            (first.by_issuer(), second.by_issuer()),
            weight,
            total,
            sums(votes.arm, weights * (votes.value - mean[votes.arm]) ** 2, 2),
            kish_sizes(votes.arm, weights),
        )

    def differences(self) -> Differences:
        """Return the difference of medians of each issuer with both arms."""
        return Differences.of(np.stack([arm.medians() for arm in self.grouped]), self.weight)

    def pooled(self) -> Pooled:
        """Return the medians over all votes."""
        present = self.weight.sum(axis=0) > 0
        medians = [arm.median() for arm in self.arms]
        below = np.stack(
            [arm.below(middle) for arm, middle in zip(self.arms, medians, strict=True)]
        )
        shares = _without(below, self.weight, present)
        half = below.sum(axis=1) / self.weight.sum(axis=1)
        found = spread(half, shares, self.weight[:, present], 0.25 / self.kish, self.votes)
        first, second = (self._woodruff(place, medians[place], found) for place in (0, 1))
        low, high = _apart(first, second, _correlation(found.variances))
        without = np.stack([arm.medians_without() for arm in self.grouped])[:, present]
        return Pooled((first, second), low, high, without, found.note)

    @property
    def votes(self) -> int:
        """Return how many votes there are."""
        return sum(len(arm.value) for arm in self.arms)

    def _woodruff(self, place: int, estimate: float, found: Spread) -> ArmEstimate:
        """Return the median with the values at the ends of the interval of a share of 1/2."""
        arm, kish = self.arms[place], float(self.kish[place])
        effective = effective_size(0.5, float(found.variances[place]), kish)
        low, high = score_interval(0.5, effective, float(found.quantiles[place]))
        return ArmEstimate(
            estimate,
            float(arm.lower(np.array([low * arm.total]))[0]),
            float(arm.upper(np.array([high * arm.total]))[0]),
            effective,
        )

    def arm(self, place: int, estimate: float, variance: float, quantile: float) -> ArmEstimate:
        """Return an arm across issuers; its size is what a mean of this variance is made from."""
        half = quantile * math.sqrt(max(variance, 0.0))
        effective = float(self.kish[place])
        if variance > 0:
            each = float(self.square[place]) / self.arms[place].total
            effective = min(effective, each / variance)
        low, high = max(self.scale.low, estimate - half), min(self.scale.high, estimate + half)
        return ArmEstimate(estimate, low, high, effective)

    def contaminated(self, poison: float) -> tuple[float, float]:
        """Return bounds of the difference without this share of each arm's weight."""
        ends = []
        for arm in self.arms:
            low, high = (np.array([arm.total * (1 + side * poison) / 2]) for side in (-1, 1))
            ends.append((float(arm.lower(low)[0]), float(arm.upper(high)[0])))
        return ends[0][0] - ends[1][1], ends[0][1] - ends[1][0]

    def cleaner(self) -> Cleaner:
        """Return what issuers could say without at most some share of each of their arms."""

        def cleaned(poison: float, arm: int) -> Cleaned:
            low, _ = self.grouped[arm].middles(poison)
            _, high = self.grouped[1 - arm].middles(poison)
            return Cleaned.of(low, high, self.weight, poison * self.weight)

        return cleaned

    def radius(self, better: int, search: bool) -> FlipRadius:
        """Return how little weight turns the medians."""
        first, second = self.arms[better], self.arms[1 - better]
        allowed = self.scale.low, self.scale.high
        if self.scale.sign < 0:
            first, second = first.negated(), second.negated()
            allowed = -self.scale.high, -self.scale.low
        return median_radius(first, second, allowed, search)

    def middles(self) -> tuple[float | None, float | None]:
        """Return the pooled median of each arm."""
        first, second = (arm.median() for arm in self.arms)
        return first, second

    def beside(self) -> Beside | None:
        """Return the pooled means, and how little poison would turn them."""
        total = self.weight.sum(axis=1)
        first, second = (float(mean) for mean in self.sum.sum(axis=1) / total)
        present = self.weight.sum(axis=0) > 0
        without = _without(self.sum, self.weight, present)
        means = np.array([first, second])
        alone = self.square / total / self.kish
        found = spread(means, without, self.weight[:, present], alone, self.votes)
        one, two = (
            self.arm(place, mean, float(found.variances[place]), float(found.quantiles[place]))
            for place, mean in enumerate((first, second))
        )
        low, high = around(
            first - second,
            (one, two),
            float(found.variances[2]),
            float(found.quantiles[2]),
            self.scale.span,
        )
        return Beside(
            "mean, pooled", (first, second), first - second, low, high, self._mean_radius()
        )

    def _mean_radius(self) -> float | None:
        """Return the share of added weight that turns the means: they are shares of the range."""
        total = self.weight.sum(axis=1)
        up = (self.sum.sum(axis=1) - self.scale.low * total) / self.scale.span
        good = up if self.scale.sign > 0 else total - up
        gap = good[0] / total[0] - good[1] / total[1]
        if abs(gap) < NOTHING:
            return None
        better = 0 if gap > 0 else 1
        first, second = (Share(float(good[p]), float(total[p])) for p in (better, 1 - better))
        least = added(first, second)
        return least / (float(total.sum()) + least)

    def curves(self) -> tuple[Curve, Curve]:
        """Return the share of weight up to each of the quantiles of an arm."""
        levels = np.linspace(0.0, 1.0, POINTS + 1)
        first, second = (Curve(arm.lower(levels * arm.total), levels) for arm in self.arms)
        return first, second


def _without(part: Floats, whole: Floats, present: Floats) -> Floats:
    """Return (2, m): the ratio of two (2, g) sums without each issuer that is present."""
    rest = whole.sum(axis=1, keepdims=True) - whole[:, present]
    left = part.sum(axis=1, keepdims=True) - part[:, present]
    fallback = np.broadcast_to((part.sum(axis=1) / whole.sum(axis=1))[:, None], rest.shape).copy()
    return np.asarray(np.divide(left, rest, out=fallback, where=rest > NOTHING))


def _correlation(variances: Floats) -> float:
    """Return the correlation of two arms from their variances and that of their difference."""
    first, second, difference = variances
    product = math.sqrt(first * second)
    return float(np.clip((first + second - difference) / (2 * product), -1, 1)) if product else 0.0


def _apart(first: ArmEstimate, second: ArmEstimate, correlation: float) -> tuple[float, float]:
    """Return the interval of first less second from those of the arms (Zou and Donner 2008)."""
    difference = first.estimate - second.estimate

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(one**2 + other**2 - 2 * correlation * one * other, 0.0))

    down = reach(first.estimate - first.low, second.high - second.estimate)
    up = reach(first.high - first.estimate, second.estimate - second.low)
    return difference - down, difference + up
