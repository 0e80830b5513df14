"""False contacts: attackers answer look-ups with ids and addresses that do not belong together.

Nothing of it enters a table, which takes a contact only from a session that proved id and address;
what it costs is the time that look-ups lose on it.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qisguard.identity.address import pack_host
from qisguard.identity.ids import ID_BITS, NodeId, from_bytes, to_bytes
from qisguard.node.contact import Contact
from qisguard.node.messages import FindNode, Nodes, Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World

SPOOFED_BITS = 32
"""Invented ids share so many leading bits with the target: nearer than any real one."""


@dataclass(slots=True)
class Misaddresser:
    """Names the honest ids nearest to the target, each at its own address."""

    members: Sequence[Contact]

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Send the asker to ourselves in the name of others."""
        if not isinstance(request, FindNode):
            return honest
        target = from_bytes(request.target)
        near = sorted(self.members, key=lambda contact: contact.id ^ target)
        others = [contact.id for contact in near if contact.id != sender][: node.config.k]
        return _named(request.number, others, node)

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(slots=True)
class Inventor:
    """Names ids next to the target that do not exist, all at its own address."""

    rng: random.Random

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Invent as many contacts as a reply may hold."""
        if not isinstance(request, FindNode):
            return honest
        target, free = from_bytes(request.target), ID_BITS - SPOOFED_BITS
        near = [NodeId(target ^ self.rng.getrandbits(free)) for _ in range(node.config.k)]
        return _named(request.number, near, node)

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


def _named(number: int, ids: Iterable[NodeId], node: Node) -> Nodes:
    host, port = node.me.address
    return Nodes(number, [(to_bytes(identifier), pack_host(host), port) for identifier in ids])


@dataclass(frozen=True, slots=True)
class FalseAddress:
    """Attackers name honest ids at their own addresses."""

    card = Card(
        id="false_address",
        family="table poisoning",
        summary="attackers answer FIND_NODE with honest ids at the wrong address",
        capability="a share of all identities; knows the honest ones",
        breaks="tables that believe hearsay; duration of look-ups",
        source="Baumgart and Mies, S/Kademlia, ICPADS 2007, section 3; catalogue, P1",
        seen="handshakes that fail with 'another identity', at addresses of few peers",
        limits="always met: a contact enters a table only by a session with it, there is no switch",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars with random ids."""
        for _ in range(world.budget):
            yield Recruit(Misaddresser(world.members), mint.identity())


@dataclass(frozen=True, slots=True)
class IdSpoofing:
    """Attackers name ids next to every target, and would answer for all of them."""

    card = Card(
        id="id_spoofing",
        family="table poisoning",
        summary="attackers answer FIND_NODE with ids that do not exist, next to the target",
        capability="a share of all identities, anywhere in the network",
        breaks="tables and look-ups that believe any id; duration of look-ups",
        source="libtorrent issue 792 (dynamic ids); catalogue, P3",
        seen="handshakes that nobody answers, many ids at one address",
        limits="always met: a handshake proves the id that was asked for, there is no switch",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Yield liars with random ids."""
        for _ in range(world.budget):
            yield Recruit(Inventor(random.Random(rng.getrandbits(64))), mint.identity())
