"""One vote a case, and one vote a key for those whom nobody vouches for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.votes import Votes
from qisguard.plugins import Card


@dataclass(frozen=True, slots=True)
class OneVote:
    """Count the latest version of each (author, case); off the roster, one case per author key."""

    card = Card(
        "one_vote",
        family="poisoning",
        summary="One vote per case of an author; keys off the roster have one vote in all.",
        capability="any author key, as many packets as it likes",
        breaks="ballot stuffing: many versions of a case, many cases under one fresh key",
        source="design, section 1 (who votes); catalogue, replay of 5 ids x 200",
        seen="packets without weight; few keys behind many packets",
        limits="Fresh keys cost microseconds: needs age or issuer_trim against many of them. "
        "A hospital on the roster may still invent cases.",
    )

    def weigh(self, votes: Votes, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the weights with every other version and vote at zero."""
        counts = votes.current & votes.enrolled
        loose = np.flatnonzero(votes.current & ~votes.enrolled & (weights > 0))
        _, first = np.unique(votes.author[loose], return_index=True)
        counts[loose[first]] = True
        return np.where(counts, weights, 0.0)
