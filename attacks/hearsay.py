"""Reflection by hearsay: liars name the victim's address under ids that do not exist.

Whoever believes a FIND_NODE reply knocks at the victim's door with a padded Hello, and again.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.attacks.emitter import Tally, Victim
from qisguard.identity.address import pack_host
from qisguard.identity.ids import ID_BITS, NodeId, from_bytes, to_bytes
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.session.wire import SEALED_HEADER_SIZE, TAG_SIZE

NEAR_BITS = 200
"""Invented ids share all but so many bits with the target: nearer than anybody."""


@dataclass(slots=True)
class Pointer:
    """Answers look-ups with invented ids at the victim's address."""

    tally: Tally
    rng: random.Random

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Point at the victim."""
        if not isinstance(request, messages.FindNode):
            return honest
        target = from_bytes(request.target)
        host, port = self.tally.address
        ids = [NodeId(target ^ self.rng.getrandbits(NEAR_BITS)) for _ in range(node.config.k)]
        contacts = [(to_bytes(identifier), pack_host(host), port) for identifier in ids]
        reply = messages.Nodes(request.number, contacts)
        self.tally.sent += len(messages.encode(reply)) + SEALED_HEADER_SIZE + TAG_SIZE
        return reply

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None


@dataclass(frozen=True, slots=True)
class ReflectionByHearsay:
    """A share of the network names the victim whenever somebody looks for anything."""

    card = Card(
        id="reflection_by_hearsay",
        family="reflection",
        summary="look-up replies name a victim's address under many invented ids",
        capability="a share of all identities; no false source addresses",
        breaks="third parties: bytes that reach them per byte of the lying replies (amplification)",
        source="catalogue U2; go-ethereum and ethrex 6199 (endpoint proof)",
        seen="'not connected: hearsay hellos to one network', handshakes that fail at one address",
        limits="few Hellos go to an address that proved nothing, counted for its whole network",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return the victim, and liars with random ids."""
        assert NEAR_BITS < ID_BITS
        tally = Tally()
        yield Recruit(speaks=lambda address: Victim(address, tally))
        for _ in range(world.budget):
            yield Recruit(Pointer(tally, random.Random(rng.randbytes(16))), mint.identity())
