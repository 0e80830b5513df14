"""Mimic: everybody repeats one honest member who happens to be wrong."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.attacks.ballots import Outcomes as Told
from qisguard.attacks.ballots import arms, one_each, seen
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card

CASES_MIN = 3
"""A member with fewer cases in an arm is not worth repeating."""


@dataclass(frozen=True, slots=True)
class Mimic:
    """Repeats the cases of the honest issuer that favours the target arm least."""

    target_ratio: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.target_ratio <= 1:
            raise ValueError(f"target_ratio = {self.target_ratio}, must be 0 to 1")

    card = Card(
        id="mimic",
        family="poisoning",
        summary="every liar repeats what one honest issuer saw, the one that is most wrong",
        capability="sees honest outcomes with their issuers",
        breaks="averages over issuers who differ: no vote is false",
        source="Karimireddy, He and Jaggi, ICLR 2022 (mimic), section 4.2",
        seen="nothing in any one vote: they are true",
        limits="adapted: the worker that is copied is an issuer, chosen by its difference of arms; "
        "lives from how much honest issuers differ",
    )
    sees_votes = True

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return outcomes drawn from that issuer's."""
        votes, arm = seen(poll), arms(poll, self.target_ratio, rng)
        chosen = votes.issuer == _worst_issuer(poll, votes)
        drawn = np.zeros(len(arm), np.int64)
        for each in (0, 1):
            pool = np.flatnonzero(chosen & (votes.arm == each))
            if not len(pool):  # no issuer has both: repeat anybody
                pool = np.flatnonzero(votes.arm == each)
            drawn[arm == each] = rng.choice(pool, int((arm == each).sum()))
        return one_each(poll, arm, Told(votes.value[drawn], votes.event[drawn]))


def _worst_issuer(poll: Poll, votes: Votes) -> int:
    """Return the issuer whose difference is most against the target."""
    good = _good(poll, votes)
    size = len(votes.issuers)
    cell = votes.arm * size + votes.issuer
    counts = np.bincount(cell, minlength=2 * size).reshape(2, size)
    sums = np.bincount(cell, good, 2 * size).reshape(2, size)
    means = sums / np.maximum(counts, 1)
    gap = means[poll.target] - means[1 - poll.target]
    gap = gap if poll.rule.higher_is_better else -gap
    return int(np.argmin(np.where(counts.min(axis=0) >= CASES_MIN, gap, np.inf)))


def _good(poll: Poll, votes: Votes) -> NDArray[np.float64]:
    """Return (n,) a number that rises with how good an outcome is; of times, who saw the horizon.

    Who was lost before is left out of neither arm: an attacker has no need to be exact.
    """
    if poll.rule.kind != TIME_TO_EVENT:
        return votes.value
    return (votes.value > poll.rule.horizon).astype(np.float64)
