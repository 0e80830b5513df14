"""On and off: an issuer serves the truth until it is trusted, lies, and begins again."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.lasting import Lasting, Plan, asked
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class OnOff:
    """Serves ``good`` weeks of true outcomes, then ``bad`` weeks of lies; ``cases`` a week."""

    good: int = 12
    bad: int = 4
    cases: int = 12

    def __post_init__(self) -> None:
        for name, value, most in (("good", self.good, 520), ("bad", self.bad, 520)):
            if not 1 <= value <= most:
                raise ValueError(f"{name} = {value}, must be 1 to {most} weeks")
        if not 1 <= self.cases <= 1_000:
            raise ValueError(f"cases = {self.cases}, must be 1 to 1000")

    card = Card(
        id="on_off",
        family="over time",
        summary="members that are honest until they are trusted, lie, and are honest again",
        capability="holds author keys of members for years, and has true outcomes to publish",
        breaks="reputation that forgives as fast as it trusts",
        source="Sun et al., 2006 (on-off attacks on trust); decision 20",
        seen="outcomes of one issuer that another refutes, in bursts",
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
        return Plan(week % (self.good + self.bad) >= self.good)
