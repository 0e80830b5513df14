"""Floods of routing tables: identities that call honest nodes until every free place is theirs."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.calling import Caller
from qisguard.attacks.lookup_lies import Colluder
from qisguard.identity.ids import ID_BITS, NodeId
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Mint, Recruit, World

PERIOD_MIN = 1.0
"""Seconds between two calls: less would measure the flood and not the table."""


def check_period(period: float) -> None:
    """Raise ValueError unless attackers may call that often."""
    if not PERIOD_MIN <= period <= 1e6:
        raise ValueError(f"period = {period}, must be {PERIOD_MIN:g} to 1000000 seconds")


@dataclass(frozen=True, slots=True)
class TableFlood:
    """Every identity calls the victims, or every member where there are none."""

    period: float = 300.0

    def __post_init__(self) -> None:
        check_period(self.period)

    card = Card(
        id="table_flood",
        family="eclipse",
        summary="many identities from few hosts call every honest node again and again",
        capability="any number of identities behind a handful of addresses",
        breaks="what honest nodes know: their routing tables",
        source="Marcus et al., IACR ePrint 2018/236; catalogue, E1",
        seen="sessions opened by many ids of one network; 'network full' among refusals",
        limits="a full bucket keeps those who have lived long and answer",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield callers with random ids who share one list."""
        gang: dict[NodeId, Contact] = {}
        targets = world.victims or world.members
        for _ in range(world.budget):
            yield Recruit(Caller(Colluder(gang), targets, self.period), mint.identity())


@dataclass(frozen=True, slots=True)
class NearBucketFlood:
    """Identities that share ``prefix_bits`` leading bits, or more, with a victim call it."""

    prefix_bits: int = 10
    period: float = 300.0

    def __post_init__(self) -> None:
        if not 1 <= self.prefix_bits <= 24:
            raise ValueError(f"prefix_bits = {self.prefix_bits}, must be 1 to 24")
        check_period(self.period)

    card = Card(
        id="near_bucket_flood",
        family="table poisoning",
        summary="identities ground to be a victim's nearest neighbours fill its sibling list",
        capability="tries 2^prefix_bits keys for each identity",
        breaks="the sibling list of a victim, and with it what it believes to keep",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.3; catalogue, P2",
        seen="neighbours that share more leading bits than chance allows; 'id too close'",
        limits="each id costs 2^prefix_bits keys, times 2^c1; ids just below the limit pass it",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield callers near one victim after the other."""
        gang: dict[NodeId, Contact] = {}
        for i in range(world.budget if world.victims else 0):
            victim = world.victims[i % len(world.victims)]
            identity = mint.nearer(victim.id, 1 << ID_BITS - self.prefix_bits)
            yield Recruit(Caller(Colluder(gang), [victim], self.period), identity)
