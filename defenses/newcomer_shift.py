"""Flag newcomers whose votes say something else than those of veterans."""

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from qisguard.outcomes.answer import State
from qisguard.outcomes.change import contrast, correlation, scores, shared_move
from qisguard.outcomes.synthesis import Evidence
from qisguard.plugins import Card, Rejected


@dataclass(frozen=True, slots=True)
class NewcomerShift:
    """Compare the arms' contrast of authors known for less than ``ramp`` days with the others'.

    ``alarm_ratio`` is the two-sided level of the test. ``icc_floor`` is the least correlation of
    patients of one issuer that is believed. Where the trusted issuers have moved the same way
    since the newcomers came, as the archive tells, it is drift.
    """

    ramp: float = 90.0
    alarm_ratio: float = 0.001
    icc_floor: float = 0.05

    def __post_init__(self) -> None:
        if not self.ramp > 0:
            raise ValueError(f"ramp = {self.ramp}, must be above 0 days")
        if not 0 < self.alarm_ratio < 1:
            raise ValueError(f"alarm_ratio = {self.alarm_ratio}, must be between 0 and 1")
        if not 0 <= self.icc_floor < 1:
            raise ValueError(f"icc_floor = {self.icc_floor}, must be 0 to below 1")

    card = Card(
        "newcomer_shift",
        family="poisoning",
        summary="Reports newcomers whose difference of arms is not that of veterans.",
        capability="any number of fresh author keys, or a hospital that joined lately",
        breaks="floods by newcomers that stay under every weight cap",
        source="Kish 1965 (design effect); Donner and Koval 1980 (intra-cluster correlation)",
        seen="a flag with both differences",
        limits="Flags at most .0014 of honest clustered networks. Newcomers that lie a little, in "
        "one arm or as much as hospitals differ are not seen, nor liars who waited out the ramp. "
        "Strangers count as one cluster, which costs power against few of them.",
    )

    def watch(self, evidence: Evidence) -> Rejected | None:
        """Return a flag with both contrasts, or None."""
        votes = evidence.votes
        new = votes.age < self.ramp
        if not new.any() or new.all():
            return None
        score = scores(votes, evidence.horizon)
        mean = np.bincount(votes.arm, score, 2) / np.maximum(np.bincount(votes.arm, minlength=2), 1)
        centred = score - mean[votes.arm]
        icc = correlation(centred, votes.issuer * 2 + votes.arm, self.icc_floor)
        young, old = (contrast(votes, score, rows, icc) for rows in (new, ~new))
        if young is None or old is None:
            return None
        gap = young.value - old.value
        freedom = max(1, int(np.count_nonzero(np.bincount(votes.issuer))) - 1)
        limit = float(stdtrit(freedom, 1 - self.alarm_ratio / 2))
        error = float(np.sqrt(young.variance + old.variance))
        if abs(gap) <= limit * error:
            return None
        told = (
            f"{young.size} votes of newcomers say {young.value:+.3f}, "
            f"{old.size} of veterans {old.value:+.3f}"
        )
        if evidence.past is not None and len(evidence.past):
            since = int(evidence.past.day.max() - self.ramp)
            shared = shared_move(evidence.past, since, gap)
            if shared is not None:
                return Rejected(
                    f"{State.DRIFT}: {told}; trusted issuers moved by {shared:+.3f} together"
                )
        return Rejected(told)
