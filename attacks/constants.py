"""The simplest poison: always the worst outcome, or noise about something bad."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import against, arms, moments, near, one_each, worst
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import BINARY
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class ConstantVotes:
    """Every seat reports the worst in the target arm, or the best in the other, today.

    With ``every_day`` they arrive over all the days that the attack has.
    """

    target_ratio: float = 0.5
    every_day: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="constant_votes",
        family="poisoning",
        summary="the worst outcome that the template allows, from every identity",
        capability="knows the template and the question; has identities to speak from",
        breaks="integrity of the answer",
        source="Lamport, Shostak and Pease 1982 (arbitrary values); catalogue, poisoning rows",
        seen="many equal values at one end of the range",
        limits="the strongest attack on a mean, and the easiest for a filter on numbers to see",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one extreme outcome of each seat."""
        arm = arms(poll, self.target_ratio, rng)
        first = poll.days[0] if self.every_day else poll.days[1]
        day = rng.integers(first, poll.days[1], len(arm), endpoint=True)
        return one_each(poll, arm, worst(poll, arm, rng), day)


@dataclass(frozen=True, slots=True)
class GaussianVotes:
    """Normal noise of ``width`` honest standard deviations, ``shift`` of them against the truth."""

    shift: float = 2.0
    width: float = 1.0
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="gaussian_votes",
        family="poisoning",
        summary="normal noise about a mean that is shifted against the truth",
        capability="sees honest outcomes; has identities to speak from",
        breaks="integrity of the answer",
        source="Blanchard et al., NeurIPS 2017 (Gaussian attackers), as votes",
        seen="the spread of values grows; of yes and no, nothing in any one vote",
        limits="noise without a shift cancels out in a mean",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one noisy outcome of each seat."""
        arm = arms(poll, self.target_ratio, rng)
        honest = moments(poll)
        down = np.where(against(poll, np.arange(2)), -self.shift, self.shift)
        mean = honest.mean + down * honest.spread
        if poll.rule.kind == BINARY:
            mean = np.clip(mean, 0.0, 1.0)
        return one_each(poll, arm, near(poll, arm, mean, self.width, rng))
