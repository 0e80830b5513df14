"""Decoys: a few absurd numbers make the rest look normal to whoever measures in sigmas."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import Outcomes, against, arms, one_each, seen, worst
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import NUMERIC
from qisguard.plugins import Card

_STEPS = 20


@dataclass(frozen=True, slots=True)
class DecoyMasking:
    """``decoy_ratio`` of the seats go to both ends of the range; the others just inside ``sigmas``.

    The decoys cancel each other out in the mean, and widen the standard deviation that the
    rejection is measured by. Outcomes that are no numbers have no decoys: all are the worst.
    """

    decoy_ratio: float = 0.2
    sigmas: float = 4.5
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.decoy_ratio < 1:
            raise ValueError(f"decoy_ratio = {self.decoy_ratio}, must be 0 to below 1")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="decoy_masking",
        family="poisoning",
        summary="absurd values widen the standard deviation, and the poison stays within it",
        capability="sees honest numbers; knows that outliers are rejected by 5 sigma",
        breaks="rejection of outliers by standard deviations",
        source="Davies and Gather 1993 (masking); design, section 5",
        seen="values at both ends of the range",
        limits="for numbers alone; medians and MAD are not widened by so few",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return decoys, and poison that hides behind them."""
        arm = arms(poll, self.target_ratio, rng)
        if poll.rule.kind != NUMERIC:
            return one_each(poll, arm, worst(poll, arm, rng))
        rule, votes = poll.rule, seen(poll)
        value = np.zeros(len(arm))
        for each, is_low in enumerate(against(poll, np.arange(2))):
            mine = np.flatnonzero(arm == each)
            decoys = 2 * round(self.decoy_ratio * len(mine) / 2)
            ends = np.where(np.arange(decoys) % 2 == 0, rule.low, rule.high)
            honest = votes.value[votes.arm == each]
            rest = len(mine) - decoys
            at = float(honest.mean())
            for _ in range(_STEPS):  # the poison itself widens what it hides in
                all_of = np.concatenate([honest, ends, np.full(rest, at)])
                reach = self.sigmas * all_of.std(ddof=1)
                at = all_of.mean() - reach if is_low else all_of.mean() + reach
                at = float(np.clip(at, rule.low, rule.high))
            value[mine] = np.concatenate([ends, np.full(rest, at)])
        return one_each(poll, arm, Outcomes(value, np.ones(len(arm), np.bool_)))
