"""Lies about who is near: attackers on the path of a look-up drop it, or lead it to each other.

An attacker answers everything else like an honest node, so that it stays in tables.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from qisguard.identity.address import pack_host
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.node.contact import Contact
from qisguard.node.messages import FindNode, Nodes, Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import ArrayAttack, Card, Mint, Recruit, World


@dataclass(slots=True)
class Dropper:
    """Never says who is near."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Stay silent about contacts, answer the rest."""
        return None if isinstance(request, FindNode) else honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(slots=True)
class Colluder:
    """Names the members of its gang that are nearest to the target, if they are nearer than it."""

    gang: dict[NodeId, Contact] = field(default_factory=dict)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Lead to the gang."""
        if not isinstance(request, FindNode):
            return honest
        target = from_bytes(request.target)
        near = sorted(self.gang.values(), key=lambda contact: contact.id ^ target)
        own = node.me.id ^ target
        chosen = [c for c in near if c.id ^ target < own and c.id != sender][: node.config.k]
        return Nodes(
            request.number,
            [(to_bytes(c.id), pack_host(c.address[0]), c.address[1]) for c in chosen],
        )

    def act(self, node: Node, now: float) -> float | None:
        """Join the gang."""
        self.gang[node.me.id] = node.me
        return None


@dataclass(frozen=True, slots=True)
class LookUpDrop:
    """Attackers swallow look-ups."""

    card = Card(
        id="look_up_drop",
        family="look-up",
        summary="attackers never answer FIND_NODE",
        capability="a share of all identities, anywhere in the network",
        breaks="availability of look-ups",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 5",
        seen="requests that time out, from peers that answer pings",
        limits="a silent peer is asked once: the look-up goes on without it, only later",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return liars with random ids."""
        return [Recruit(Dropper(), mint.identity()) for _ in range(world.budget)]

    def array(self) -> ArrayAttack:
        """See ``ArrayForm``."""
        return ArrayAttack("drop")


@dataclass(frozen=True, slots=True)
class LookUpMisroute:
    """Attackers answer look-ups with each other."""

    card = Card(
        id="look_up_misroute",
        family="look-up",
        summary="attackers answer FIND_NODE with the attackers nearest to the target",
        capability="a share of all identities, who know each other",
        breaks="integrity and availability of look-ups",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 5 (adversary model)",
        seen="look-ups end among contacts that honest neighbours do not know",
        limits="a path that passes no attacker is not touched: disjoint paths",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return liars with random ids who share one list."""
        gang: dict[NodeId, Contact] = {}
        return [Recruit(Colluder(gang), mint.identity()) for _ in range(world.budget)]

    def array(self) -> ArrayAttack:
        """See ``ArrayForm``."""
        return ArrayAttack("collude")
