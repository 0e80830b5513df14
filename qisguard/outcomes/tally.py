"""Tally: what a kind of outcome must say about the weighed votes of two arms.

Everything after the weights is written against this protocol, once for all kinds:

- a statistic per arm, within a range: the share that had it, a median, survival at a horizon;
- the same per issuer, for deciding across issuers;
- pooled, with an interval that lets issuers differ;
- what poison can make of it: the flip radius, and bounds when a share of the data is poison.

``difference`` is always the first arm less the second in the statistic's own unit; which sign is
the better one is for ``Scale.sign`` to say.
"""

import math
from dataclasses import dataclass
from typing import Protocol

from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.cleaned import Cleaner
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.issuers import Differences


@dataclass(frozen=True, slots=True)
class Scale:
    """What the statistic is, in ``unit``, from ``low`` to ``high``; ``sign`` -1: less is better.

    No poison within the range moves a difference of arms by more than ``span``.
    """

    statistic: str
    unit: str = ""
    low: float = 0.0
    high: float = 1.0
    sign: float = 1.0

    @property
    def span(self) -> float:
        """Return the largest difference that two arms can have."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class ArmEstimate:
    """The statistic of one arm; ``effective`` independent patients are worth as much."""

    estimate: float
    low: float
    high: float
    effective: float


@dataclass(frozen=True, slots=True)
class Pooled:
    """All votes as one.

    Attributes:
        arms: the two arms.
        low, high: interval of the difference.
        without: (2, m) the arms without each of the m issuers that have votes.
        note: what the interval allows for.
    """

    arms: tuple[ArmEstimate, ArmEstimate]
    low: float
    high: float
    without: Floats
    note: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A second statistic that is shown and does not decide; ``guaranteed`` is its flip radius."""

    statistic: str
    arms: tuple[float, float]
    difference: float
    low: float
    high: float
    guaranteed: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """One arm as a step function, for plots: ``y`` holds from each ``x`` on."""

    x: Floats
    y: Floats


class Tally(Protocol):
    """The weighed votes of two arms and g issuers, added up."""

    @property
    def scale(self) -> Scale:
        """Return what the statistic is."""

    @property
    def weight(self) -> Floats:
        """Return (2, g): the weight of each issuer in each arm."""

    def differences(self) -> Differences:
        """Return the difference of each issuer that says something about both arms."""

    def pooled(self) -> Pooled:
        """Return both arms over all votes, with intervals that let issuers differ."""

    def arm(self, place: int, estimate: float, variance: float, quantile: float) -> ArmEstimate:
        """Return an arm's estimate across issuers with an interval from its variance."""

    def contaminated(self, poison: float) -> tuple[float, float]:
        """Return bounds of the pooled difference if this share of each arm's weight is poison."""

    def cleaner(self) -> Cleaner:
        """Return what issuers could say without at most some share of each of their arms."""

    def radius(self, better: int, search: bool) -> FlipRadius:
        """Return how little weight turns the pooled decision against the better arm."""

    def middles(self) -> tuple[float | None, float | None]:
        """Return the median of each arm in the unit of the outcome, None where there is none."""

    def beside(self) -> Beside | None:
        """Return what else is worth showing."""

    def curves(self) -> tuple[Curve, Curve]:
        """Return what to plot of each arm."""


def around(
    difference: float,
    arms: tuple[ArmEstimate, ArmEstimate],
    variance: float,
    quantile: float,
    span: float,
) -> tuple[float, float]:
    """Return the interval of a difference of arms from its variance and Student's quantile.

    When issuers are all alike the variance is 0: then the arms' own intervals have to do.
    """
    half = quantile * math.sqrt(max(variance, 0.0))
    if variance <= 0:
        half = max(arm.high - arm.low for arm in arms)
    return max(-span, difference - half), min(span, difference + half)
