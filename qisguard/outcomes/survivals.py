"""Times to an event: survival of each arm at a horizon, by weighted Kaplan-Meier."""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats
from qisguard.outcomes.cleaned import Cleaned, Cleaner
from qisguard.outcomes.clusters import kish_sizes, pooled_shares, share_arm, spread
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.issuers import Differences
from qisguard.outcomes.survival import (
    Counts,
    count,
    curve,
    influence,
    leave_one_out,
    median,
    survival,
)
from qisguard.outcomes.survival_poison import Arm, contaminated, pooled_radius
from qisguard.outcomes.tally import ArmEstimate, Beside, Curve, Pooled, Scale
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes


@dataclass(frozen=True, slots=True)
class Survivals:
    """Counts up to the horizon, per arm and issuer, the votes that they are made from, and sizes.

    ``kish`` (2,) are effective sizes by weight alone.
    """

    scale: Scale
    counts: Counts
    votes: Votes
    weights: Floats
    kish: Floats

    @staticmethod
    def scale_for(rule: OutcomeRule, horizon: int) -> Scale:
        """Return the scale of survival: more is better."""
        return Scale(f"survival at {horizon} days")

    @classmethod
    def of(cls, votes: Votes, weights: Floats, rule: OutcomeRule, horizon: int) -> "Survivals":
        """Return the counts of n votes; survival is compared at ``horizon`` days."""
        counts = count(
            votes.arm, votes.issuer, votes.value, votes.event, weights, len(votes.issuers), horizon
        )
        return cls(
            cls.scale_for(rule, horizon), counts, votes, weights, kish_sizes(votes.arm, weights)
        )

    @property
    def weight(self) -> Floats:
        """Return (2, g): the weight of each issuer in each arm."""
        return self.counts.weight

    def differences(self) -> Differences:
        """Return the difference of each issuer whose arms both have known outcomes."""
        return Differences.of(survival(self.counts.at_risk, self.counts.deaths), self.counts.known)

    def pooled(self) -> Pooled:
        """Return Kaplan-Meier over all votes."""
        counts, votes = self.counts, self.votes
        arms = survival(counts.at_risk.sum(axis=1), counts.deaths.sum(axis=1))
        present = np.flatnonzero(counts.weight.sum(axis=0) > 0)
        without = leave_one_out(counts)[:, present]
        alone = np.zeros(2)
        if len(present) == 1:
            parts = influence(counts, votes.arm, votes.value, votes.event, self.weights) ** 2
            alone = np.asarray(np.bincount(votes.arm, parts, 2), np.float64)
        found = spread(arms, without, counts.weight[:, present], alone, len(votes))
        return pooled_shares(arms, without, found, self.kish)

    def arm(self, place: int, estimate: float, variance: float, quantile: float) -> ArmEstimate:
        """Return survival with Wilson's interval on the size that its variance is worth."""
        return share_arm(estimate, variance, quantile, float(self.kish[place]))

    def contaminated(self, poison: float) -> tuple[float, float]:
        """Return bounds of the difference without this share of each arm's weight."""
        return contaminated(Arm.of(self.counts, 0), Arm.of(self.counts, 1), poison)

    def cleaner(self) -> Cleaner:
        """Return what issuers could say without at most some share of each of their arms."""
        arms = [Arm.each(self.counts, place) for place in (0, 1)]

        def cleaned(poison: float, arm: int) -> Cleaned:
            gone = poison * self.weight
            low = arms[arm].without_survivors(gone[arm])
            high = arms[1 - arm].without_deaths(gone[1 - arm])
            return Cleaned.of(low, high, self.counts.known, gone)

        return cleaned

    def radius(self, better: int, search: bool) -> FlipRadius:
        """Return how little weight turns pooled Kaplan-Meier."""
        return pooled_radius(Arm.of(self.counts, better), Arm.of(self.counts, 1 - better), search)

    def middles(self) -> tuple[float | None, float | None]:
        """Return the median of each arm in days, None while more than half survive."""
        first, second = (median(curve.x, curve.y) for curve in self.curves())
        return first, second

    def beside(self) -> Beside | None:
        """Return None: the medians are told with the arms."""
        return None

    def curves(self) -> tuple[Curve, Curve]:
        """Return pooled survival just after each event time, to the last one."""
        return survival_curves(self.votes, self.weights)


def survival_curves(votes: Votes, weights: Floats) -> tuple[Curve, Curve]:
    """Return, per arm, pooled survival just after each event time, to the last one."""
    everything = np.zeros(len(votes), np.int64)
    counts = count(votes.arm, everything, votes.value, votes.event, weights, 1, float("inf"))
    first, second = curve(counts.at_risk[:, 0], counts.deaths[:, 0])
    return Curve(counts.times, first), Curve(counts.times, second)
