"""A churn attack: identities that behaved well for as long as it took leave together."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class ChurnAttack:
    """All attackers are gone from one moment to the next."""

    card = Card(
        id="churn_attack",
        family="churn",
        summary="a share of the network leaves at once, without a word",
        capability="a share of all identities, which were honest until now",
        breaks="duration of look-ups; records whose replicas all leave",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 3; catalogue, CH1",
        seen="many contacts silent from one minute to the next",
        limits="needs identities that settled before: arrival = 'settled'",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield leavers with random ids."""
        for _ in range(world.budget):
            yield Recruit(identity=mint.identity(), leaves=True)
