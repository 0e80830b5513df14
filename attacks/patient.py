"""Patience: issuers that serve the truth for as long as it takes, and then lie for good."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.lasting import Lasting, Plan, asked
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class Patient:
    """Serves ``waits`` weeks of true outcomes, then lies; ``cases`` a week all along."""

    waits: int = 52
    cases: int = 12

    def __post_init__(self) -> None:
        if not 0 <= self.waits <= 5_200:
            raise ValueError(f"waits = {self.waits}, must be 0 to 5200 weeks")
        if not 1 <= self.cases <= 1_000:
            raise ValueError(f"cases = {self.cases}, must be 1 to 1000")

    card = Card(
        id="patient",
        family="over time",
        summary="members that are honest for a year, and lie from then on",
        capability="holds author keys of members for years, and has true outcomes to publish",
        breaks="age, and reputation until the first lies are found out",
        source="decision 20; Jøsang, Ismail and Boyd, 2007 (value imbalance, exit)",
        seen="the difference of the arms changes from one month to the next; refuted outcomes",
        limits="pays in true outcomes; two simulated years of 24 nodes take about a CPU minute",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return a member for each identity of the budget, all in step."""
        question = asked(world)
        for _ in range(world.budget):
            identity = mint.identity()
            plays = Lasting(world, question, [identity.key], self.plan, self.cases, rng)
            yield Recruit(plays=plays, identity=identity)

    def plan(self, week: int) -> Plan:
        """Return what happens in a week, counted from 0."""
        return Plan(week >= self.waits)
