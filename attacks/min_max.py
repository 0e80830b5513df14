"""Min-max: as far out as the two honest votes that are furthest apart, and no further."""

from dataclasses import dataclass

import numpy as np

from qisguard.attacks.ballots import Outcomes, against, arms, one_each, seen
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class MinMax:
    """Every seat is at the end of the honest values, short of the outermost ``skipped_ratio``."""

    skipped_ratio: float = 0.0
    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.skipped_ratio < 0.5:
            raise ValueError(f"skipped_ratio = {self.skipped_ratio}, must be 0 to below 0.5")
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="min_max",
        family="poisoning",
        summary="every liar says what the most extreme honest vote said",
        capability="sees honest outcomes; has identities to speak from",
        breaks="filters by distance: no liar is further from anybody than honest votes are",
        source="Shejwalkar and Houmansadr, NDSS 2021 (min-max)",
        seen="a heap of values at the end of the honest range",
        limits="adapted: with one coordinate the largest step that keeps within the greatest "
        "honest distance ends at the outermost honest value, and needs no search",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return the outermost honest outcome from each seat."""
        votes, arm = seen(poll), arms(poll, self.target_ratio, rng)
        ends = np.zeros(2)
        for each, is_low in enumerate(against(poll, np.arange(2))):
            values = votes.value[votes.arm == each]
            skipped = self.skipped_ratio if is_low else 1 - self.skipped_ratio
            ends[each] = np.quantile(values, skipped, method="nearest")
        happened = np.ones(len(arm), np.bool_)
        event = against(poll, arm) if poll.rule.kind == TIME_TO_EVENT else happened
        return one_each(poll, arm, Outcomes(ends[arm], event))
