"""What somebody who poisons votes has and knows, and what it casts: columns instead of packets.

The lists are what an attack needs to say; who it is, how old, and of which issuer follows from its
seats alone, which no attack chooses.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.template import OutcomeRule
from qisguard.outcomes.votes import Votes

NEW_CASE = -1
"""Arm of a seat that had no case before: it invents one."""


@dataclass(frozen=True, slots=True)
class Seats:
    """Identities of an attacker, as everybody sees them; m of them.

    A seat off the roster is a key of its own. One on the roster is a case that an issuer's key
    signs for; seats of one issuer share its key.

    Attributes:
        issuer: (m,) index of the issuer, as in ``Votes``.
        age: (m,) days that the seat's key has been known.
        enrolled: (m,) whether it is on the roster.
        arm: (m,) arm of the honest case that was taken over, ``NEW_CASE`` where there was none.
        value: (m,) its outcome; ``event``: (m,) as in ``Votes``.
    """

    issuer: NDArray[np.int64]
    age: NDArray[np.float64]
    enrolled: NDArray[np.bool_]
    arm: NDArray[np.int64]
    value: NDArray[np.float64]
    event: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.issuer)


@dataclass(frozen=True, slots=True)
class Poll:
    """A question under attack.

    Attributes:
        rule: which outcomes are possible, and which are better.
        target: the arm that is to lose, 0 or 1; it is the better one in truth.
        days: first and last day on which packets arrive; the last is today.
        seats: what the attacker has.
        votes: the honest votes; None unless the attack is one that sees them.
    """

    rule: OutcomeRule
    target: int
    days: tuple[int, int]
    seats: Seats
    votes: Votes | None


@dataclass(frozen=True, slots=True)
class Ballots:
    """What is cast, r rows: of one (seat, case) a later row is a newer version.

    Attributes:
        seat: (r,) index of the seat.
        case: (r,) which of the seat's cases; 0 is the one that was taken over, if any.
        arm, value, event, day: (r,) as in ``Votes``.
    """

    seat: NDArray[np.int64]
    case: NDArray[np.int64]
    arm: NDArray[np.int64]
    value: NDArray[np.float64]
    event: NDArray[np.bool_]
    day: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.seat)
