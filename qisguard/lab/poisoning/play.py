"""One poll after the other: honest votes, an attack on them, and what a reader is answered.

Everything follows from the scenario and (stage, seed, number of the poll). Polls of a *rehearsal*
are never those that are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from qisguard.lab.poisoning.casting import cast
from qisguard.lab.poisoning.population import ARMS, Population
from qisguard.lab.poisoning.seats import take_seats
from qisguard.lab.scenario.tables import AttackTable
from qisguard.outcomes.answer import Answer
from qisguard.outcomes.archive import Past
from qisguard.outcomes.ballots import Poll
from qisguard.outcomes.synthesis import SynthesisConfig, conclude
from qisguard.outcomes.votes import Collected, Votes
from qisguard.outcomes.weighing import Weighed, weigh_votes
from qisguard.plugins import Defense, Poisons


class Stage(IntEnum):
    """What a poll is for."""

    COUNTED = 0
    REHEARSAL = 1


class _Luck(IntEnum):
    """Independent sources of one poll."""

    HONEST = 0
    SEATS = 1
    ATTACK = 2
    ORDER = 3


@dataclass(frozen=True, slots=True)
class Cast:
    """Votes of one poll, and (n,) which of them are poison."""

    votes: Votes
    poison: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Answered:
    """What a reader gets, and the votes that made it with (k,) which of those are poison."""

    answer: Answer
    weighed: Weighed
    poison: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Player:
    """Plays polls of a population, against one set of defences."""

    population: Population
    attack: AttackTable
    budget: int
    defenses: Sequence[Defense]
    config: SynthesisConfig

    @property
    def onset(self) -> int:
        """Return the day on which the first packet of an attacker may arrive."""
        first, last = self.population.days
        return first + int(self.attack.onset * (last - first + 1))

    def honest(self, stage: Stage, seed: int, number: int) -> Cast:
        """Return a poll without an attack."""
        votes = self.population.draw(_rng(stage, _Luck.HONEST, seed, number))
        return Cast(votes, np.zeros(len(votes), np.bool_))

    def attacked(self, poisoner: Poisons, stage: Stage, seed: int, number: int) -> Cast:
        """Return the same poll with an attack."""
        honest = self.honest(stage, seed, number).votes
        seats, taken = take_seats(
            honest,
            self.population.table,
            self.attack,
            self.budget,
            _rng(stage, _Luck.SEATS, seed, number),
        )
        poll = Poll(
            rule=self.population.template.outcome,
            target=self.population.target,
            days=(self.onset, self.population.days[1]),
            seats=seats,
            votes=honest if poisoner.sees_votes else None,
        )
        ballots = poisoner.poison(poll, _rng(stage, _Luck.ATTACK, seed, number))
        order = _rng(stage, _Luck.ORDER, seed, number)
        return Cast(*cast(honest, taken, poll, ballots, order))

    def answer(self, polled: Cast, past: Past | None = None) -> Answered:
        """Return what a reader of these votes is answered: the code that answers queries.

        ``past`` is what replicas archived, for detectors that look at it.
        """
        weighed = weigh_votes(Collected(polled.votes, {}), self.defenses)
        template = self.population.template
        size, config = len(polled.votes), self.config
        answer = conclude(weighed, size, template, config, self.defenses, ARMS, past)
        poisoned = np.isin(weighed.votes.case, polled.votes.case[polled.poison])
        return Answered(answer, weighed, poisoned)


def _rng(stage: Stage, luck: _Luck, seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([stage, luck, seed, number])
