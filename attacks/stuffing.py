"""More votes than voters: many cases of one key, or many versions of one case."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import arms, worst
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.plugins import Card

EACH_MAX = 10_000


@dataclass(frozen=True, slots=True)
class BallotStuffing:
    """Every seat invents ``cases_each`` cases with the worst outcome."""

    cases_each: int = 20
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.cases_each <= EACH_MAX:
            raise ValueError(f"cases_each = {self.cases_each}, must be 1 to {EACH_MAX}")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="ballot_stuffing",
        family="poisoning",
        summary="few keys with many invented cases each",
        capability="a few identities; knows the template and the question",
        breaks="one vote a case: cases cost nothing",
        source="catalogue, poisoning scenarios (ballot stuffing)",
        seen="few keys behind many packets",
        limits="one vote a key ends it off the roster; a member may still invent cases",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return many cases of each seat; the arm is a seat's, which hides nothing."""
        seat = np.repeat(np.arange(len(poll.seats)), self.cases_each)
        case = np.tile(np.arange(self.cases_each), len(poll.seats))
        arm = arms(poll, self.target_ratio, rng)[seat]
        told = worst(poll, arm, rng)
        return Ballots(seat, case, arm, *told, np.full(len(seat), poll.days[1]))


@dataclass(frozen=True, slots=True)
class ReplayedVotes:
    """Every seat publishes ``versions`` of one case, each as good a packet as the last."""

    versions: int = 200
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 1 <= self.versions <= EACH_MAX:
            raise ValueError(f"versions = {self.versions}, must be 1 to {EACH_MAX}")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="replayed_votes",
        family="poisoning",
        summary="few cases, each published again and again with a higher number",
        capability="a few identities; knows the template and the question",
        breaks="readers that count packets instead of cases",
        source="catalogue, poisoning scenarios (replay of 5 ids x 200)",
        seen="many versions of few cases",
        limits="without effect where the latest version replaces the others",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return many versions of one case of each seat."""
        seat = np.repeat(np.arange(len(poll.seats)), self.versions)
        arm = arms(poll, self.target_ratio, rng)[seat]
        told = worst(poll, arm, rng)
        first = np.zeros(len(seat), np.int64)
        return Ballots(seat, first, arm, *told, np.full(len(seat), poll.days[1]))
