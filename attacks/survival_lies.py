"""Lies about when: three ways to bend a survival curve, and the one that a formula misses.

Deaths just before the horizon weigh more than early ones once honest patients have left: they count
among fewer who are still there. Without censoring the three are worth the same (DESIGN, section 5).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qisguard.attacks.ballots import LATE_DAYS, Outcomes, against, arms, one_each
from qisguard.errors import ScenarioError
from qisguard.outcomes.ballots import Ballots, Poll
from qisguard.outcomes.packet import TIME_TO_EVENT
from qisguard.plugins import Card

DEAD_DAYS = 30


@dataclass(frozen=True, slots=True)
class EarlyDeaths:
    """Cases of the target arm that die within ``days``."""

    days: int = DEAD_DAYS
    card = Card(
        id="early_deaths",
        family="poisoning",
        summary="patients who never were die soon after the treatment that is to lose",
        capability="knows the template and the question; has identities to speak from",
        breaks="integrity of a survival curve, from its beginning",
        source="catalogue, poisoning scenarios (survival: early death)",
        seen="a step down in the first days of one curve",
        limits="a reader who looks at the curve sees the step",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one early death of each seat."""
        _check(poll, self.card.id)
        arm = arms(poll, 1.0, rng)
        last = min(self.days, poll.rule.horizon)
        return one_each(poll, arm, _split(poll, arm, rng.integers(0, last + 1, len(arm))))


@dataclass(frozen=True, slots=True)
class Immortals:
    """Cases of the other arm that are seen alive long after the horizon."""

    days: int = LATE_DAYS
    card = Card(
        id="immortals",
        family="poisoning",
        summary="patients who never were outlive everybody under the treatment that is to win",
        capability="knows the template and the question; has identities to speak from",
        breaks="integrity of a survival curve, all along it",
        source="catalogue, poisoning scenarios (survival: immortals)",
        seen="one curve flattens; many equal times of last observation",
        limits="weak where most survive anyway",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one long life of each seat."""
        _check(poll, self.card.id)
        arm = arms(poll, 0.0, rng)
        return one_each(poll, arm, _split(poll, arm, np.zeros(len(arm), np.int64), self.days))


@dataclass(frozen=True, slots=True)
class LateDeaths:
    """Cases of the target arm that die in the last ``days`` before the horizon."""

    days: int = 0
    card = Card(
        id="late_deaths",
        family="poisoning",
        summary="patients who never were die on the eve of the day that is asked about",
        capability="knows the template, the question and its horizon",
        breaks="integrity of a survival curve where it is read; closed forms for the flip radius",
        source="design, section 5 (deaths just before the horizon beat the formula)",
        seen="a step down just before the horizon",
        limits="no stronger than early deaths where nobody is censored before the horizon",
    )
    sees_votes = False

    def poison(self, poll: Poll, rng: np.random.Generator) -> Ballots:
        """Return one late death of each seat."""
        _check(poll, self.card.id)
        arm = arms(poll, 1.0, rng)
        horizon = poll.rule.horizon
        day = horizon - rng.integers(0, min(self.days, horizon) + 1, len(arm))
        return one_each(poll, arm, _split(poll, arm, day))


def _check(poll: Poll, name: str) -> None:
    if poll.rule.kind != TIME_TO_EVENT:
        raise ScenarioError(f"attack.name: {name} lies about times, and kind = {poll.rule.kind!r}")


def _split(
    poll: Poll, arm: NDArray[np.int64], death: NDArray[np.int64], extra: int = LATE_DAYS
) -> Outcomes:
    """Return deaths in the target arm, and long lives in the other."""
    dies = against(poll, arm)
    alive = min(poll.rule.horizon + extra, poll.rule.high)
    return Outcomes(np.where(dies, death, alive).astype(np.float64), dies)
