"""Spam under a key: real records and well-signed packets, as many as the replicas take.

Author keys cost nothing, so one identity can sign any number of packets; provider records cost an
identity each. What is bounded is a matter of caps and of *who is in the way* when a key is full.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.client import client, nearest
from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import placement
from qisguard.identity.keys import KeyPair
from qisguard.node.contact import Contact
from qisguard.node.messages import Request, Store
from qisguard.outcomes.packet import Outcome, OutcomePacket, packet_body, sign_packet
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.store.record import sign_record

LIFETIME = 3_600
"""Seconds that a spam record asks for."""


@dataclass(frozen=True, slots=True)
class ProviderSpam:
    """Every identity announces itself under every key, with ``packets_each`` packets there.

    ``per_second`` Stores are sent by each identity; every packet has an author key of its own.
    """

    packets_each: int = 0
    per_second: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.packets_each <= 100_000:
            raise ValueError(f"packets_each = {self.packets_each}, must be 0 to 100000")
        if not 0.001 <= self.per_second <= 100_000:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 100000")

    card = Card(
        id="provider_spam",
        family="storage",
        summary="fills keys with records and packets that are well signed and worth nothing",
        capability="identities of its own, any number of author keys, from few or many networks",
        breaks="room in stores (store_max); what readers get (false_read); honest records kept",
        source="libp2p specs 537 and Telcoin 1185: no cap on provider records of a key",
        seen="one key with far more records than others, most of one network or of no issuer",
        limits="caps bound it; who counts as the largest group decides who gives way",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return clients that store."""
        if not world.keys:
            raise ScenarioError("attack: spams records, set workload.kind = 'records'")
        for _ in range(world.budget):
            identity = mint.identity()
            asks = self._asks(world, identity, random.Random(rng.randbytes(16)))
            speaks = client(world, identity, asks, rng, "false_accepted")
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(
        self, world: World, identity: Identity, rng: random.Random
    ) -> Iterator[tuple[float, Contact, Request]]:
        count = 0
        for key in world.keys:
            place = placement(key)
            record = sign_record(place, identity.key, LIFETIME, 1, world.network.id).data
            replicas = nearest(world, place, world.config.replica_count)
            packets = [invented(world, key, None, rng).data for _ in range(self.packets_each)]
            batches = [packets[at : at + 2] for at in range(0, len(packets), 2)] or [[]]
            for batch in batches:
                for contact in replicas:
                    yield count / self.per_second, contact, Store(0, record, batch)
                    count += 1


def invented(
    world: World,
    key: bytes,
    author: KeyPair | None,
    rng: random.Random,
    case: bytes | None = None,
    network: bytes | None = None,
) -> OutcomePacket:
    """Return a well-signed packet about a case that does not exist."""
    author = author or KeyPair.from_seed(rng.randbytes(32))
    body = packet_body(
        network=network or world.network.id,
        template="spam/1",
        key=key,
        case=case or rng.randbytes(16),
        author=author.public,
        seq=1,
        day=world.today,
        exp=world.today + 1_000,
        arm=rng.choice("AB"),
        outcome=Outcome.after(rng.randint(1, 1_000), 1),
        feat={},
    )
    return sign_packet(body, author)
