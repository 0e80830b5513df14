"""Slow drip: a little poison a day, a little stronger every day."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import Outcomes, against, arms, honest_like, moments, near, one_each
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import BINARY
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class SlowDrip:
    """Spreads its seats over the days; a growing share of them is shifted by ``shift`` SD."""

    shift: float = 3.0
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="slow_drip",
        family="poisoning",
        summary="poison spread over all days, stronger from day to day",
        capability="sees honest outcomes; identities that have been there from the first day",
        breaks="detectors of sudden changes",
        source="Kloft and Laskov, AISTATS 2010 (poisoning of a moving centre), as votes",
        seen="a slow trend in one arm",
        limits="half as strong, on average, as the same votes at once",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one outcome of each seat, on days that are spread evenly."""
        size = len(poll.seats)
        arm, honest = arms(poll, self.target_ratio, rng), moments(poll)
        progress = (np.arange(size) + 0.5) / max(size, 1)
        first, last = poll.days
        day = first + (progress * (last - first + 1)).astype(np.int64)
        down = np.where(against(poll, np.arange(2)), -self.shift, self.shift)
        far = honest.mean + down * honest.spread
        if poll.rule.kind == BINARY:
            far = np.clip(far, 0.0, 1.0)
        plain, shifted = honest_like(poll, arm, rng), near(poll, arm, far, 1.0, rng)
        turned = rng.random(size) < progress
        value = np.where(turned, shifted.value, plain.value)
        event = np.where(turned, shifted.event, plain.event)
        return one_each(poll, arm, Outcomes(value, event), day)
