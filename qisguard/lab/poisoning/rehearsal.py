"""Rehearsals: a poisoner that knows the defences tries itself out before it counts.

It draws honest votes of its own from what it knows of the population, plays against the very
defences with their parameters, and keeps the best it finds. The polls that are counted are others.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache

from qisguard.lab.poisoning.play import Player, Stage
from qisguard.lab.poisoning.tally import Tally
from qisguard.lab.scenario.loading import Loaded
from qisguard.outcomes.answer import State
from qisguard.plugins import Adapts, Poisons, Rehearsed

SEED = 0
"""Every attacker rehearses on the same polls, whatever seed is counted."""


@dataclass(frozen=True, slots=True)
class Best:
    """What a search found: the attack, in words, and on how many polls it was tried."""

    poisoner: Poisons
    words: str
    polls: int


@dataclass(frozen=True, slots=True)
class _Task:
    """One search; equal when file, point of the grid and defences are."""

    digest: str
    point: str
    is_defended: bool
    loaded: Loaded = field(compare=False)
    player: Player = field(compare=False)


def best_attack(loaded: Loaded, player: Player, is_defended: bool) -> Best:
    """Return the attack that an adaptive poisoner of this scenario settles on."""
    point = json.dumps(loaded.point, sort_keys=True, default=str)
    return _search(_Task(loaded.digest, point, is_defended, loaded, player))


@lru_cache(maxsize=16)
def _search(task: _Task) -> Best:
    """Return what one search found; a worker searches once for all of its trials."""
    attack, stage = task.loaded.attack, Rehearsals(task.player)
    if not isinstance(attack, Adapts):
        raise TypeError(f"{task.loaded.scenario.attack.name} does not adapt")
    poisoner, words = attack.adapt(stage)
    return Best(poisoner, words, stage.polls)


class Rehearsals:
    """What ``Adapts.adapt`` calls: plays the same polls for every candidate, and counts them."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self.polls = 0

    def __call__(self, poisoner: Poisons, count: int) -> Rehearsed:
        """Return what ``poisoner`` gets in the first ``count`` polls."""
        player = self._player
        sign = 1.0 if player.population.target else -1.0
        tally = Tally(player.population)
        flips = quiet = 0
        margin = beside = 0.0
        for number in range(count):
            found = player.answer(player.attacked(poisoner, Stage.REHEARSAL, SEED, number))
            answer, flipped = found.answer, tally.is_flipped(found)
            flips += flipped
            quiet += flipped and answer.state is State.OK
            margin += sign * (answer.difference or 0.0)
            beside += sign * (answer.beside.difference if answer.beside else 0.0)
        self.polls += count
        return Rehearsed(flips / count, quiet / count, margin / count, beside / count)
