"""Sybils around a key that keep their distance: those who count ids near keys see little of them.

Statistics of crowding are least surprised by ids that lie as far out as they may (for all but the
divergence; ``qisguard.lab.placement`` searches for the best against each). So each goes just before
the honest id whose place it takes.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.censor import Censor
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId
from qisguard.node.contact import Contact
from qisguard.plugins import Card, Mint, Recruit, World

OUTER = 0.8
"""Ids lie beyond this share of the distance that they may have; nearer to 1 costs more keys."""


@dataclass(frozen=True, slots=True)
class SybilEvading:
    """Take ``places`` of the replica places of each key, with ids as far out as that allows.

    How many pass a detector follows from its threshold, which the attacker knows.
    """

    places: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.places <= 64:
            raise ValueError(f"places = {self.places}, must be 1 to 64")

    card = Card(
        id="sybil_evading",
        family="Sybil",
        summary="identities take as many places around a key as pass its detectors, and censor",
        capability="as sybil_at_key; knows the detectors, and the honest ids around the key",
        breaks="detection of censorship; the places that it takes",
        source="de Moura Netto et al., 2025; catalogue, S5",
        seen="nothing that chance does not do as well",
        limits="a reader who asks all replicas needs one honest one: some places are not enough",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield censors around one place after the other."""
        gang: dict[NodeId, Contact] = {}
        count = world.config.replica_count
        wanted = min(self.places, count, len(world.members))
        limits = [
            sorted(member.id ^ place for member in world.members)[:count][-wanted]
            for place in world.places
        ]
        for i in range(min(world.budget, wanted * len(limits))):
            at = i % len(limits)
            identity = _just_before(mint, world.places[at], limits[at])
            yield Recruit(Censor(gang), identity)


def _just_before(mint: Mint, place: NodeId, limit: int) -> Identity:
    """Return an identity below a distance and not far below it."""
    tried: Iterator[Identity] = iter(lambda: mint.nearer(place, limit), None)
    return next(one for one in tried if one.id ^ place >= OUTER * limit)
