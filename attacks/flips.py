"""Flips: what was seen is turned round, or filed under the other treatment.

Both look like honest data in every way but one, which is what filters on values cannot find.
"""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import Outcomes, arms, honest_like, moments, one_each
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import BINARY, TIME_TO_EVENT
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class SignFlip:
    """Reports honest-like outcomes mirrored: no for yes, as far below the mean as it was above."""

    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="sign_flip",
        family="poisoning",
        summary="honest-like outcomes, each mirrored about the mean of both arms",
        capability="sees honest outcomes; has identities to speak from",
        breaks="integrity of the answer",
        source="Blanchard et al., NeurIPS 2017 (negated gradients), as votes",
        seen="nothing in any one vote; the arms come closer to each other",
        limits="weak: half of the votes must be flipped before the sign of a difference turns",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one mirrored outcome of each seat."""
        arm = arms(poll, self.target_ratio, rng)
        told, rule = honest_like(poll, arm, rng), poll.rule
        if rule.kind == BINARY:
            return one_each(poll, arm, Outcomes(1 - told.value, told.event))
        centre = float(moments(poll).mean.mean())
        if rule.kind == TIME_TO_EVENT:  # on the logarithm of time; who was seen to die is not
            time = np.round(np.expm1(2 * centre - np.log1p(told.value)))
            return one_each(poll, arm, Outcomes(np.clip(time, rule.low, rule.high), ~told.event))
        return one_each(
            poll, arm, Outcomes(np.clip(2 * centre - told.value, rule.low, rule.high), told.event)
        )


@dataclass(frozen=True, slots=True)
class LabelFlip:
    """Reports honest-like outcomes of one treatment under the name of the other."""

    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="label_flip",
        family="poisoning",
        summary="true outcomes under the name of the other treatment",
        capability="sees honest outcomes; has identities to speak from",
        breaks="integrity of the answer",
        source="Biggio, Nelson and Laskov, ACML 2011 (label flips), as votes",
        seen="nothing in any one vote; the arms come closer to each other",
        limits="as weak as a sign flip",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one outcome of the other arm from each seat."""
        arm = arms(poll, self.target_ratio, rng)
        return one_each(poll, arm, honest_like(poll, 1 - arm, rng))
