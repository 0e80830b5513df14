"""What poisoners of votes have in common: which outcomes are worst, and what honest ones are like.

Structurally perfect ballots alone: every value is one that the template allows.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qisguard.outcomes.ballots import NEW_CASE, Ballots, Poll
from qisguard.outcomes.packet import BINARY, TIME_TO_EVENT
from qisguard.outcomes.votes import Votes

EARLY_DAYS = (30, 180)
"""As in ``attacks.poison``: an early death weighs on every later day of the curve."""
LATE_DAYS = 365
"""An immortal is followed for this long after the horizon."""


class Outcomes(NamedTuple):
    """Outcomes of r ballots."""

    value: NDArray[np.float64]
    event: NDArray[np.bool_]


def seen(poll: Poll) -> Votes:
    """Return the honest votes; raise ValueError for an attack that is not shown them."""
    if poll.votes is None:
        raise ValueError("poll.votes: this attack has to see the honest votes")
    return poll.votes


def arms(poll: Poll, target_ratio: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (m,) the arm of each seat: that of the case it took over, else target or other."""
    lots = rng.random(len(poll.seats)) < target_ratio
    invented = np.where(lots, poll.target, 1 - poll.target)
    return np.where(poll.seats.arm == NEW_CASE, invented, poll.seats.arm)


def one_each(
    poll: Poll, arm: NDArray[np.int64], told: Outcomes, day: NDArray[np.int64] | None = None
) -> Ballots:
    """Return one ballot of each seat, today unless ``day`` says otherwise."""
    seats = np.arange(len(poll.seats))
    today = np.full(len(seats), poll.days[1])
    first = np.zeros(len(seats), np.int64)
    return Ballots(seats, first, arm, told.value, told.event, today if day is None else day)


def worst(poll: Poll, arm: NDArray[np.int64], rng: np.random.Generator) -> Outcomes:
    """Return the worst outcome in the target arm and the best in the other."""
    rule, loses = poll.rule, against(poll, arm)
    if rule.kind != TIME_TO_EVENT:
        return Outcomes(np.where(loses, rule.low, rule.high), np.ones(len(arm), np.bool_))
    early = rng.integers(*EARLY_DAYS, len(arm), endpoint=True)
    late = min(rule.horizon + LATE_DAYS, rule.high)
    return Outcomes(np.where(loses, np.minimum(early, rule.horizon), late).astype(float), loses)


def against(poll: Poll, arm: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each ballot should be at the lower end: it makes its arm worse."""
    return np.asarray((arm == poll.target) == poll.rule.higher_is_better, np.bool_)


def honest_like(poll: Poll, arm: NDArray[np.int64], rng: np.random.Generator) -> Outcomes:
    """Return outcomes drawn, with replacement, from the honest votes of each arm."""
    votes = seen(poll)
    drawn = np.zeros(len(arm), np.int64)
    for each in (0, 1):
        pool, mine = np.flatnonzero(votes.arm == each), arm == each
        drawn[mine] = rng.choice(pool, int(mine.sum()))
    return Outcomes(votes.value[drawn], votes.event[drawn])


class Moments(NamedTuple):
    """Mean and standard deviation of each arm's honest outcomes, (2,); of times the logarithm."""

    mean: NDArray[np.float64]
    spread: NDArray[np.float64]


def moments(poll: Poll) -> Moments:
    """Return what honest outcomes are like."""
    votes = seen(poll)
    scale = np.log1p(votes.value) if poll.rule.kind == TIME_TO_EVENT else votes.value
    parts = [scale[votes.arm == arm] for arm in (0, 1)]
    return Moments(np.array([p.mean() for p in parts]), np.array([p.std() for p in parts]))


def near(
    poll: Poll,
    arm: NDArray[np.int64],
    mean: NDArray[np.float64],
    width: float,
    rng: np.random.Generator,
) -> Outcomes:
    """Return outcomes about (2,) ``mean`` of each arm, on the scale of ``moments``.

    A yes-or-no outcome is a yes with probability ``mean``; a number or a time has ``width`` honest
    standard deviations about it. Times end in an event in the arm that is to look worse.
    """
    rule, wanted = poll.rule, mean[arm]
    happened = np.ones(len(arm), np.bool_)
    if rule.kind == BINARY:
        return Outcomes((rng.random(len(arm)) < wanted).astype(np.float64), happened)
    number = wanted + width * moments(poll).spread[arm] * rng.standard_normal(len(arm))
    if rule.kind == TIME_TO_EVENT:
        time = np.round(np.expm1(np.clip(number, 0.0, np.log1p(rule.high))))
        return Outcomes(np.clip(time, rule.low, rule.high), against(poll, arm))
    return Outcomes(np.clip(number, rule.low, rule.high), happened)
