"""A small Hello budget: fewer cookies a second for everybody together."""

from dataclasses import dataclass, replace

from qisguard.plugins import Card, Settings


@dataclass(frozen=True, slots=True)
class HelloBudget:
    """Answers ``per_second`` Hellos of everybody together."""

    per_second: float = 50.0

    card = Card(
        id="hello_budget",
        family="flooding",
        summary="bounds the cookies that a node makes in a second",
        capability="Hellos from any address, true or false",
        breaks="the time that a flood of first words takes",
        source="design, section 3 (Sessions): one global cookie budget",
        seen="'dropped: hello budget'",
        limits="under a flood above it honest Hellos go under too: a small budget is a lock-out",
    )

    def tune(self, settings: Settings) -> Settings:
        """Return settings with that budget."""
        return replace(settings, node=replace(settings.node, hellos_per_second=self.per_second))
