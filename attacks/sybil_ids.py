"""Sybil identities in the routing: many at random, or few in just the right place."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.censor import Censor, Mute
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.plugins import ArrayAttack, Behaviour, Card, Mint, Recruit, World

LIES = ("collude", "drop")
"""``drop`` answers pings alone, ``collude`` leads to its gang and hides records."""


@dataclass(frozen=True, slots=True)
class SybilAtKey:
    """Identities that are nearer to each place than every honest node, in equal shares."""

    lie: str = "collude"

    def __post_init__(self) -> None:
        _check(self.lie)

    card = Card(
        id="sybil_at_key",
        family="Sybil",
        summary="identities ground to be the closest to a key take its records and hide them",
        capability="tries keys until their ids fall nearer to the key than any honest id",
        breaks="availability of a key: censorship",
        source="Sridhar et al., NDSS 2024; catalogue, S4",
        seen="ids crowded around one key: far more shared leading bits than chance allows",
        limits="each id costs about as many keys as the network has nodes, times 2^c1",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars around one place after the other."""
        gang: dict[NodeId, Contact] = {}
        for i in range(world.budget if world.places else 0):
            place = world.places[i % len(world.places)]
            nearest = min(member.id ^ place for member in world.members)
            yield Recruit(_liar(self.lie, gang), mint.nearer(place, nearest))

    def array(self) -> ArrayAttack:
        """See ``ArrayForm``."""
        return ArrayAttack(self.lie, placed=True)


@dataclass(frozen=True, slots=True)
class SybilFlood:
    """As many identities with random ids as the budget allows."""

    lie: str = "collude"

    def __post_init__(self) -> None:
        _check(self.lie)

    card = Card(
        id="sybil_flood",
        family="Sybil",
        summary="far more identities than honest nodes, everywhere, who lie about all they know",
        capability="makes any number of identities, and runs a node for each",
        breaks="availability of look-ups and records",
        source="Douceur, IPTPS 2002; catalogue, S6",
        seen="the network grows many times over; the newcomers are on no roster",
        limits="each identity costs both puzzles; a roster admits none of them",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars with random ids."""
        gang: dict[NodeId, Contact] = {}
        for _ in range(world.budget):
            yield Recruit(_liar(self.lie, gang), mint.identity())

    def array(self) -> ArrayAttack:
        """See ``ArrayForm``."""
        return ArrayAttack(self.lie)


def _check(lie: str) -> None:
    if lie not in LIES:
        raise ValueError(f"lie = {lie!r}, must be one of {', '.join(LIES)}")


def _liar(lie: str, gang: dict[NodeId, Contact]) -> Behaviour:
    return Censor(gang) if lie == "collude" else Mute()
