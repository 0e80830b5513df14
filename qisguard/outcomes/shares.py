"""Binary outcomes: the weighted share of each arm in which it happened."""

from dataclasses import dataclass

import numpy as np

from qisguard.outcomes.arrays import Floats, sums
from qisguard.outcomes.cleaned import Cleaned, Cleaner
from qisguard.outcomes.clusters import kish_sizes, pooled_shares, share_arm, spread
from qisguard.outcomes.fragility import FlipRadius
from qisguard.outcomes.issuers import Differences
from qisguard.outcomes.share_poison import Share, share_radius
from qisguard.outcomes.tally import ArmEstimate, Beside, Curve, Pooled, Scale
from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes


@dataclass(frozen=True, slots=True)
class Shares:
    """What happened, per arm and issuer.

    Attributes:
        scale: the share, 0 to 1.
        weight: (2, g) all the weight.
        yes: (2, g) the weight in which it happened.
        kish: (2,) effective sizes by weight alone; ``votes``: how many there are.
    """

    scale: Scale
    weight: Floats
    yes: Floats
    kish: Floats
    votes: int

    @staticmethod
    def scale_for(rule: OutcomeRule, horizon: int) -> Scale:
        """Return the scale of a share; there is no horizon."""
        return Scale("share", sign=1.0 if rule.higher_is_better else -1.0)

    @classmethod
    def of(cls, votes: Votes, weights: Floats, rule: OutcomeRule, horizon: int) -> "Shares":
        """Return the sums of n votes."""
        groups = len(votes.issuers)
        cell = votes.arm * groups + votes.issuer
        weight, yes = (
            sums(cell, part, 2 * groups).reshape(2, groups)
            for part in (weights, weights * votes.value)
        )
        return cls(
            cls.scale_for(rule, horizon),
            weight,
            np.minimum(yes, weight),
            kish_sizes(votes.arm, weights),
            len(votes),
        )

    @property
    def arms(self) -> Floats:
        """Return (2,): the pooled share of each arm."""
        return _ratio(self.yes.sum(axis=1), self.weight.sum(axis=1))

    def differences(self) -> Differences:
        """Return the difference of each issuer with both arms."""
        return Differences.of(_ratio(self.yes, self.weight), self.weight)

    def pooled(self) -> Pooled:
        """Return the shares over all votes."""
        present = self.weight.sum(axis=0) > 0
        yes, weight = self.yes[:, present], self.weight[:, present]
        total = self.weight.sum(axis=1, keepdims=True)
        without = _ratio(self.yes.sum(axis=1, keepdims=True) - yes, total - weight)
        arms = self.arms
        alone = arms * (1 - arms) / self.kish
        found = spread(arms, without, weight, alone, self.votes)
        return pooled_shares(arms, without, found, self.kish)

    def arm(self, place: int, estimate: float, variance: float, quantile: float) -> ArmEstimate:
        """Return a share with Wilson's interval on the size that its variance is worth."""
        return share_arm(estimate, variance, quantile, float(self.kish[place]))

    def contaminated(self, poison: float) -> tuple[float, float]:
        """Return bounds of the difference without this share of each arm's weight."""
        first, second = self.arms.tolist()
        clean = 1 - poison
        low_first, low_second = (max(0.0, (p - poison) / clean) for p in (first, second))
        high_first, high_second = (min(1.0, p / clean) for p in (first, second))
        return low_first - high_second, high_first - low_second

    def cleaner(self) -> Cleaner:
        """Return what issuers could say without at most some share of each of their arms."""
        share = _ratio(self.yes, self.weight)

        def cleaned(poison: float, arm: int) -> Cleaned:
            low = np.maximum((share[arm] - poison) / (1 - poison), 0.0)
            high = np.minimum(share[1 - arm] / (1 - poison), 1.0)
            return Cleaned.of(low, high, self.weight, poison * self.weight)

        return cleaned

    def radius(self, better: int, search: bool) -> FlipRadius:
        """Return how little weight turns the pooled shares."""
        yes, weight = self.yes.sum(axis=1), self.weight.sum(axis=1)
        good = yes if self.scale.sign > 0 else weight - yes
        first, second = (Share(float(good[p]), float(weight[p])) for p in (better, 1 - better))
        return share_radius(first, second, search)

    def middles(self) -> tuple[float | None, float | None]:
        """Return nothing: a share has no median."""
        return None, None

    def beside(self) -> Beside | None:
        """Return None: the share says it all."""
        return None

    def curves(self) -> tuple[Curve, Curve]:
        """Return one point an arm."""
        first, second = (Curve(np.zeros(1), np.array([p])) for p in self.arms)
        return first, second


def _ratio(part: Floats, whole: Floats) -> Floats:
    """Return part / whole, 1/2 where there is nothing."""
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, 0.5), where=whole > 1e-9))
