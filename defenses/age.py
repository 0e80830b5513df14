"""Newcomers weigh little: each of them, and all of them together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class Age:
    """Let weight grow with age to full over ``ramp`` days, from ``floor`` for the newest.

    All votes younger than the ramp hold at most ``cap_ratio`` of the weight together, as long as
    there are older votes. Age is enrolment or first attestation, never the packet's own claim.
    """

    ramp: float = 90.0
    floor: float = 0.05
    cap_ratio: float = 0.10

    def __post_init__(self) -> None:
        if not self.ramp > 0:
            raise ValueError(f"ramp = {self.ramp}, must be above 0 days")
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor = {self.floor}, must be 0 to 1")
        if not 0 <= self.cap_ratio < 1:
            raise ValueError(f"cap_ratio = {self.cap_ratio}, must be 0 to below 1")

    card = Card(
        "age",
        family="poisoning",
        summary="Weight grows with the age of an identity; newcomers have a cap together.",
        capability="any number of fresh author keys",
        breaks="floods of fresh identities, whitewashing",
        source="design, section 5; catalogue, poisoning scenarios",
        seen="share of weight by age; many packets from keys first seen today",
        limits="Patient attackers wait out the ramp, and then weigh a little more than without it. "
        "Honest newcomers weigh little too.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights, scaled by age and capped."""
        scaled = weights * np.clip(votes.age / self.ramp, self.floor, 1.0)
        new = votes.age < self.ramp
        young, old = float(scaled[new].sum()), float(scaled[~new].sum())
        allowed = old * self.cap_ratio / (1 - self.cap_ratio)
        if old > 0 and young > allowed:
            scaled[new] *= allowed / young
        return scaled
