"""Cohort-targeted: few identities are many where few patients are."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import arms, one_each, worst
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class CohortTargeted:
    """``focus`` of the budget votes in the cohort that is asked about, the rest elsewhere.

    With ``focus`` as large as the cohort's share of all cases it is the attack on everybody.
    """

    focus: float = 1.0
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.focus <= 1:
            raise ValueError(f"focus = {self.focus}, must be 0 to 1")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="cohort_targeted",
        family="poisoning",
        summary="the whole budget on one small cohort",
        capability="knows the template, the question and how rare its cases are",
        breaks="integrity of an answer about few patients",
        source="Jagielski et al., CCS 2021 (subpopulation attacks), as votes",
        seen="one similarity key grows faster than the others",
        limits="whoever asks about everybody sees a small share",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return the worst outcome of the seats that vote here."""
        arm = arms(poll, self.target_ratio, rng)
        every = one_each(poll, arm, worst(poll, arm, rng))
        here = rng.permutation(len(every))[: round(self.focus * len(every))]
        return Ballots(
            every.seat[here],
            every.case[here],
            every.arm[here],
            every.value[here],
            every.event[here],
            every.day[here],
        )
