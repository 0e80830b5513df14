"""Whitewashing over years: one node lies under a name for a while, and then under the next."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.lasting import Lasting, Plan, asked
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class NameChanging:
    """Lies ``cases`` times a week and takes a new name after ``stays`` weeks, while it has some."""

    stays: int = 12
    cases: int = 24

    def __post_init__(self) -> None:
        if not 1 <= self.stays <= 520:
            raise ValueError(f"stays = {self.stays}, must be 1 to 520 weeks")
        if not 1 <= self.cases <= 1_000:
            raise ValueError(f"cases = {self.cases}, must be 1 to 1000")

    card = Card(
        id="name_changing",
        family="over time",
        summary="a liar that drops its name before others have found out enough about it",
        capability="author keys on the roster, as many as its budget, all enrolled long ago",
        breaks="age, and reputation that begins above nothing",
        source="Friedman and Resnick, 2001 (cheap pseudonyms); decision 20",
        seen="issuers that appear, publish much, and are silent for ever",
        limits="pays in names; two simulated years of 21 nodes take about a CPU minute",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return one node; the other identities of the budget are names for its outcomes."""
        question = asked(world)
        names = [mint.identity() for _ in range(world.budget)]
        keys = [name.key for name in names]
        plays = Lasting(world, question, keys, self.plan, self.cases, rng)
        return [Recruit(plays=plays, identity=names[0])]

    def plan(self, week: int) -> Plan:
        """Return what happens in a week, counted from 0; the last name stays."""
        return Plan(True, week // self.stays)
