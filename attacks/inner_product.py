"""Inner-product manipulation: just enough against the direction in which the truth lies."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import arms, moments, near, one_each, seen
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import BINARY
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class InnerProduct:
    """Reports each arm on the other side of both arms' mean, ``strength`` times what turns it."""

    strength: float = 1.1
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="inner_product",
        family="poisoning",
        summary="every arm is pushed past the mean of both, no further than it takes",
        capability="sees honest outcomes and knows how many there are",
        breaks="the sign of the difference, with the smallest change that does it",
        source="Xie, Koyejo and Gupta, UAI 2019 (inner-product manipulation)",
        seen="nothing in any one vote; the difference hangs a little on the wrong side",
        limits="adapted: the update is the deviation of an arm's mean from that of both, the "
        "report is minus epsilon times it, with epsilon = strength x honest / liars",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return outcomes about the mirrored means."""
        arm, honest = arms(poll, self.target_ratio, rng), moments(poll)
        centre = honest.mean.mean()
        liars = np.maximum(np.bincount(arm, minlength=2), 1)
        epsilon = self.strength * np.bincount(seen(poll).arm, minlength=2) / liars
        mean = centre - epsilon * (honest.mean - centre)
        if poll.rule.kind == BINARY:
            mean = np.clip(mean, 0.0, 1.0)
        return one_each(poll, arm, near(poll, arm, mean, 0.2, rng))
