"""Honest votes and ballots become the votes that a reader collects.

What ``outcomes.votes.collect`` makes of packets that say the same: see the test that plays both.
"""

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.ballots import NEW_CASE, Ballots, Poll, Seats
from qisguard.outcomes.votes import Votes


def cast(
    votes: Votes,
    taken: NDArray[np.bool_],
    poll: Poll,
    ballots: Ballots,
    rng: np.random.Generator,
) -> tuple[Votes, NDArray[np.bool_]]:
    """Return all votes, and (n,) which of them are poison.

    Args:
        votes: the honest ones.
        taken: (n,) which of them are not honest any more.
        poll: whose seats the ballots come from.
        ballots: what was cast; raises ValueError where no reader would take it.
        rng: for the order, so that nothing follows from a place among the columns.
    """
    _check(poll, ballots)
    honest, seats, at = votes.where(~taken), poll.seats, ballots.seat
    author = _authors(votes, seats)[at]
    start = int(votes.case.max(initial=-1)) + 1
    case = _cases(votes, taken, seats, ballots, start)
    newest = _newest(case)
    size = len(honest), len(ballots)
    poison = np.repeat([False, True], size)
    author = np.concatenate([honest.author, author])
    case = np.concatenate([honest.case, case])
    order, author, case = _in_order(author, case, rng)
    columns = Votes(
        kind=votes.kind,
        issuers=votes.issuers,
        issuer=np.concatenate([honest.issuer, seats.issuer[at]])[order],
        author=author,
        case=case,
        arm=np.concatenate([honest.arm, ballots.arm])[order],
        value=np.concatenate([honest.value, ballots.value])[order],
        event=np.concatenate([honest.event, ballots.event])[order],
        day=np.concatenate([honest.day, ballots.day])[order],
        age=np.concatenate([honest.age, seats.age[at]])[order],
        enrolled=np.concatenate([honest.enrolled, seats.enrolled[at]])[order],
        current=np.concatenate([honest.current, newest])[order],
    )
    return columns, poison[order]


def _in_order(
    author: NDArray[np.int64], case: NDArray[np.int64], rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows by key and case, as ``Votes`` wants them, and both numbered anew.

    Keys and cases are random bytes, so that nothing follows from their order; versions of a case
    stay in theirs.
    """
    names, author = np.unique(author, return_inverse=True)
    author = rng.permutation(len(names))[author]
    cases, case = np.unique(case, return_inverse=True)
    luck = rng.permutation(len(cases))[case]
    order = np.lexsort((luck, author))
    author, luck = author[order], luck[order]
    starts = np.diff(luck, prepend=-1) != 0
    return order, author, np.cumsum(starts) - 1


def _check(poll: Poll, ballots: Ballots) -> None:
    """Raise ValueError for ballots that the template or the seats do not allow."""
    first, last = poll.days
    rules = {
        "seat": (ballots.seat >= 0) & (ballots.seat < len(poll.seats)),
        "case": ballots.case >= 0,
        "arm": (ballots.arm == 0) | (ballots.arm == 1),
        "value": (ballots.value >= poll.rule.low) & (ballots.value <= poll.rule.high),
        "day": (ballots.day >= first) & (ballots.day <= last),
    }
    for name, good in rules.items():
        if not good.all():
            found = getattr(ballots, name)[~good][0]
            raise ValueError(f"ballots.{name} = {found}, is not one that a reader takes")


def _authors(votes: Votes, seats: Seats) -> NDArray[np.int64]:
    """Return (m,) the key of each seat: an issuer's, or one of its own."""
    start = int(votes.author.max(initial=-1)) + 1
    key = start + np.arange(len(votes.issuers))  # of an issuer that nobody has heard of yet
    key[votes.issuer[votes.enrolled]] = votes.author[votes.enrolled]
    own = start + len(votes.issuers) + np.arange(len(seats))
    return np.where(seats.enrolled, key[seats.issuer], own)


def _cases(
    votes: Votes, taken: NDArray[np.bool_], seats: Seats, ballots: Ballots, start: int
) -> NDArray[np.int64]:
    """Return (r,) the case of each ballot: the one that was taken over, or a new one."""
    width = int(ballots.case.max(initial=0)) + 1
    new = start + ballots.seat * width + ballots.case
    own = np.zeros(len(seats), np.int64)
    own[seats.arm != NEW_CASE] = votes.case[taken]
    held = (seats.arm[ballots.seat] != NEW_CASE) & (ballots.case == 0)
    return np.where(held, own[ballots.seat], new)


def _newest(case: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return (r,) whether no later row is of the same case."""
    result = np.zeros(len(case), np.bool_)
    _, last = np.unique(case[::-1], return_index=True)
    result[len(case) - 1 - last] = True
    return result
