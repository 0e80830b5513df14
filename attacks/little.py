"""A little is enough: every liar stays within what honest votes might have said."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from qisguard.attacks.ballots import against, arms, moments, near, one_each, seen
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.plugins import Card

Z_MIN = 0.05
"""The formula gives less for a majority of liars, or nothing at all."""


@dataclass(frozen=True, slots=True)
class LittleIsEnough:
    """All report the honest mean less ``z`` honest standard deviations; 0 takes the paper's z."""

    z: float = 0.0
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="little_is_enough",
        family="poisoning",
        summary="all liars shift a little, so that enough honest votes are further out",
        capability="sees honest outcomes; has identities to speak from",
        breaks="integrity of the answer, past any filter on single values",
        source="Baruch, Baruch and Goldberg, NeurIPS 2019 (ALIE), algorithm 3",
        seen="nothing in any one vote; a heap of equal numbers",
        limits="adapted: one coordinate, an arm's mean, instead of a gradient; a yes-or-no outcome "
        "shifts its probability. One standard deviation is all it dares.",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return outcomes at the honest mean less z standard deviations."""
        arm, honest = arms(poll, self.target_ratio, rng), moments(poll)
        z = self.z or paper_z(len(seen(poll)), len(poll.seats))
        down = np.where(against(poll, np.arange(2)), -z, z)
        return one_each(poll, arm, near(poll, arm, honest.mean + down * honest.spread, 0.0, rng))


def paper_z(honest: int, liars: int) -> float:
    """Return the largest z at which liars and the honest votes beyond them are a majority."""
    supporters = max((honest + liars) // 2 + 1 - liars, 0)
    inside = (honest - supporters) / max(honest, 1)
    return float(np.clip(ndtri(min(inside, 0.999)), Z_MIN, None))
