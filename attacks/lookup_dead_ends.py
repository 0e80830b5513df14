"""Dead ends: attackers on the path of a look-up say that they know nobody nearer than themselves.

Unlike silence, an answer counts: the liar stays among the contacts that the look-up returns.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.identity.address import pack_host
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.node.messages import FindNode, Nodes, Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class DeadEnd:
    """Names itself and nobody else."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Claim to be the closest."""
        if not isinstance(request, FindNode):
            return honest
        me = node.me
        return Nodes(request.number, [(to_bytes(me.id), pack_host(me.address[0]), me.address[1])])

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(frozen=True, slots=True)
class LookUpFalseClosest:
    """Attackers claim that nobody is nearer to any target."""

    card = Card(
        id="look_up_false_closest",
        family="look-up",
        summary="attackers answer FIND_NODE with themselves alone",
        capability="a share of all identities, anywhere in the network",
        breaks="integrity and availability of look-ups",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.4; catalogue, L3",
        seen="replies with one contact, its sender",
        limits="a look-up asks all of the k closest that it knows: one dead end hides what only "
        "it could have told",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars with random ids."""
        for _ in range(world.budget):
            yield Recruit(DeadEnd(), mint.identity())
