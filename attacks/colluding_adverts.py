"""Colluders who advertise each other: in every reply, and by calling those they want to know them.

Where the network changes, honest nodes fill free places with those whom they hear of, and hear of
colluders more often than there are.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.calling import Caller
from qisguard.attacks.lookup_lies import Colluder
from qisguard.attacks.table_flood import check_period
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class ColludingAdverts:
    """Attackers name only each other; each calls ``called`` honest nodes, drawn anew for each."""

    called: int = 20
    period: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.called <= 10_000:
            raise ValueError(f"called = {self.called}, must be 0 to 10000")
        check_period(self.period)

    card = Card(
        id="colluding_adverts",
        family="eclipse",
        summary="colluders answer with each other only, and call honest nodes to be known",
        capability="a share of all identities, who know each other; may be certified",
        breaks="what honest nodes know: their routing tables",
        source="Singh et al., INFOCOM 2006; catalogue, E4",
        seen="a group of contacts that name nobody outside the group",
        limits="a full bucket keeps those who have lived long: little happens without churn",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield colluders with random ids who share one list."""
        gang: dict[NodeId, Contact] = {}
        for _ in range(world.budget):
            count = min(self.called, len(world.members))
            targets = rng.sample(world.members, count)
            yield Recruit(Caller(Colluder(gang), targets, self.period), mint.identity())
