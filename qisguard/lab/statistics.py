"""Intervals for what the laboratory counts: proportions, paired proportions, any statistic."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from qisguard.outcomes.intervals import score_interval


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    estimate: float
    low: float
    high: float


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return a proportion with Wilson's score interval (Wilson 1927); no trials give 0 to 1."""
    if not 0 <= successes <= trials:
        raise ValueError(f"successes = {successes}, must be 0 to trials = {trials}")
    estimate = successes / trials if trials else 0.5
    low, high = score_interval(estimate, trials, _normal(level))
    return Interval(estimate, min(low, estimate), max(high, estimate))  # rounding at 0 and 1


def paired_difference(
    first: Sequence[bool], second: Sequence[bool], level: float = 0.95
) -> Interval:
    """Return the difference of two proportions over the same seeds (Newcombe 1998, method 10).

    The runs are paired, so what both share (the seed's luck) does not widen the interval.
    """
    if len(first) != len(second) or not first:
        raise ValueError(f"pairs: {len(first)} and {len(second)} outcomes, must be equal and > 0")
    size = len(first)
    both = sum(a and b for a, b in zip(first, second, strict=True))
    neither = sum(not a and not b for a, b in zip(first, second, strict=True))
    one, two = sum(map(bool, first)), sum(map(bool, second))
    a, b = wilson(one, size, level), wilson(two, size, level)
    margins = one * (size - one) * two * (size - two)
    concordance = float(both * neither - (one - both) * (two - both))
    if concordance > 0:  # Newcombe's continuity correction, only towards independence
        concordance = max(concordance - size / 2, 0.0)
    phi = concordance / math.sqrt(margins) if margins else 0.0
    return square_and_add(a, b, phi)


def square_and_add(a: Interval, b: Interval, phi: float) -> Interval:
    """Return ``a - b`` with an interval made of theirs; ``phi`` is the estimates' correlation."""
    below = _cross(a.estimate - a.low, b.high - b.estimate, phi)
    above = _cross(a.high - a.estimate, b.estimate - b.low, phi)
    difference = a.estimate - b.estimate
    return Interval(difference, difference - below, difference + above)


def bootstrap_interval(
    values: Sequence[float],
    statistic: Callable[[Sequence[float]], float],
    rng: random.Random,
    repeats: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Return ``statistic`` of ``values`` with a percentile interval (Efron 1979)."""
    if not values or repeats < 40:
        raise ValueError(f"{len(values)} values and {repeats} repeats, must be >= 1 and >= 40")
    again = sorted(statistic(rng.choices(values, k=len(values))) for _ in range(repeats))
    tail = (1 - level) / 2
    low, high = again[int(tail * repeats)], again[min(repeats - 1, int((1 - tail) * repeats))]
    return Interval(statistic(values), low, high)


def _normal(level: float) -> float:
    return NormalDist().inv_cdf(0.5 + level / 2)


def _cross(one: float, two: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * two + two**2))
