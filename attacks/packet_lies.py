"""Replicas that serve other bytes than were published: altered ones, invented ones, old ones.

Every packet is signed by its author and named by its digest, and its number only rises: a replica
can withhold, and serve what was once true, and nothing else.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from qisguard.errors import QisguardError
from qisguard.identity.ids import NodeId, from_bytes, placement
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.outcomes.packet import OutcomePacket, open_packet
from qisguard.plugins import Card, Mint, Recruit, World

PATIENCE = 5.0
"""Seconds between two attempts to put back what has been replaced."""


@dataclass(slots=True)
class Forger:
    """Alters what it serves by one bit, and lists ``invented`` packets that do not exist."""

    invented: int
    rng: random.Random

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return the honest reply, forged."""
        if isinstance(honest, messages.Packets):
            return messages.Packets(honest.number, [self._alter(data) for data in honest.packets])
        if isinstance(honest, messages.Listing) and honest.entries:
            room = messages.LISTING_MAX - len(honest.entries)
            lowest = honest.entries[0][0]
            false = [(self.rng.randbytes(32), 1) for _ in range(min(self.invented, room))]
            entries = [*honest.entries, *(entry for entry in false if entry[0] > lowest)]
            return messages.Listing(honest.number, sorted(entries), honest.more)
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None

    def _alter(self, data: bytes) -> bytes:
        at = self.rng.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self.rng.randrange(8)]) + data[at + 1 :]


@dataclass(frozen=True, slots=True)
class PacketForgery:
    """A share of the network alters the packets that it serves."""

    invented: int = 4

    def __post_init__(self) -> None:
        if not 0 <= self.invented <= messages.LISTING_MAX:
            raise ValueError(f"invented = {self.invented}, must be 0 to {messages.LISTING_MAX}")

    card = Card(
        id="packet_forgery",
        family="storage",
        summary="replicas flip a bit in every packet they serve and list packets that never were",
        capability="a share of all identities",
        breaks="integrity of what readers get (false_read), and the time it takes",
        source="catalogue C1; PROOF R2 (altered signed messages)",
        seen="readers count 'invalid packet', 'packet nobody asked for' and 'not delivered'",
        limits="always on here: digest, signature, place and network are checked by the reader",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return forgers with random ids."""
        for _ in range(world.budget):
            forger = Forger(self.invented, random.Random(rng.randbytes(16)))
            yield Recruit(forger, mint.identity())


@dataclass(slots=True)
class Hoarder:
    """Keeps the first version of every packet that it is given, and serves that one for ever."""

    returns: bool
    first: dict[NodeId, dict[tuple[bytes, bytes], OutcomePacket]] = field(default_factory=dict)
    replaced: list[OutcomePacket] = field(default_factory=list)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return what was true once."""
        match request:
            case messages.Store():
                for data in request.packets:
                    self._keep(data)
            case messages.ListPackets():
                old = self.first.get(from_bytes(request.key), {})
                digests = sorted(packet.digest for packet in old.values())
                page = [(digest, 1) for digest in digests if digest > request.after]
                return messages.Listing(request.number, page[: messages.LISTING_MAX], more=False)
            case messages.FetchPackets():
                old = self.first.get(from_bytes(request.key), {})
                held = [p.data for p in old.values() if p.digest in request.digests]
                return messages.Packets(request.number, held[:2])
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Put back what has been replaced, on whoever takes it."""
        if self.replaced:
            node.publish(self.replaced, now)
            self.replaced = []
        return now + PATIENCE if self.returns else None

    def _keep(self, data: bytes) -> None:
        try:
            packet = open_packet(data)
        except QisguardError:
            return
        name = packet.author, packet.case
        held = self.first.setdefault(placement(packet.key), {}).setdefault(name, packet)
        if self.returns and packet.body.seq > held.body.seq:
            self.replaced.append(held)


@dataclass(frozen=True, slots=True)
class StalePackets:
    """A share of the network serves the first version of everything.

    With ``returns`` it also publishes that version again after a newer one came.
    """

    returns: bool = True

    card = Card(
        id="stale_packets",
        family="storage",
        summary="replicas serve old versions, with their good signatures, and publish them again",
        capability="a share of all identities, there when the old version was published",
        breaks="currency of what readers get (stale_read, readable)",
        source="catalogue C2; BEP 44 (error 302: sequence number less than current)",
        seen="refusals 'older sequence'; readers get two versions of one case",
        limits="replicas refuse what is older, readers ask all: one honest replica is enough",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return hoarders with random ids."""
        return [Recruit(Hoarder(self.returns), mint.identity()) for _ in range(world.budget)]
