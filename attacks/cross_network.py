"""Replay across networks: what is good in one network is offered in another.

Three forms: handshakes under a descriptor of the other network, its records, and its packets. The
first comes from strangers; the other two from a member of this network who brings them along.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from qisguard.attacks.client import client, nearest
from qisguard.attacks.provider_spam import LIFETIME, invented
from qisguard.attacks.storage_drop import first_key
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import placement
from qisguard.node.contact import Contact
from qisguard.node.messages import FindNode, Reply, Request, Store
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.store.record import sign_record


@dataclass(frozen=True, slots=True)
class CrossNetworkReplay:
    """Half of the identities show a descriptor of another network, the others its records."""

    items_each: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.items_each <= 100_000:
            raise ValueError(f"items_each = {self.items_each}, must be 1 to 100000")

    card = Card(
        id="cross_network_replay",
        family="replay",
        summary="offers descriptors, records and packets of another network",
        capability="member of two networks that share keys, or who copies what it sees in one",
        breaks="that networks are apart (false_accepted)",
        source="catalogue RP2 (domain separation)",
        seen="'dropped: IdentityError', 'invalid: ProofError', packets of 'another network'",
        limits="always on here: the network's id is in every descriptor, record and packet",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return strangers and members with things of another network."""
        first_key(world)
        other = msgspec.structs.replace(world.network, name=f"{world.network.name}-2")
        for number in range(world.budget):
            identity = mint.identity()
            if number % 2:
                asks: Iterable[tuple[float, Contact, Request]] = (
                    (0.0, rng.choice(world.members), FindNode(0, sha256(b"anything").digest()))
                    for _ in range(self.items_each)
                )
                speaks = client(world, identity, asks, rng, "false_accepted", _answered, other)
            else:
                asks = self._asks(world, identity, other.id, random.Random(rng.randbytes(16)))
                speaks = client(world, identity, asks, rng, "false_accepted")
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(
        self, world: World, identity: Identity, other: bytes, rng: random.Random
    ) -> Iterator[tuple[float, Contact, Request]]:
        for number in range(self.items_each):
            key = world.keys[number % len(world.keys)]
            place = placement(key)
            packet = invented(world, key, None, rng, network=other).data
            foreign = sign_record(place, identity.key, LIFETIME, 1, other).data
            ours = sign_record(place, identity.key, LIFETIME, 1, world.network.id).data
            for contact in nearest(world, place, world.config.replica_count):
                yield 0.0, contact, Store(0, foreign, [])
                yield 0.0, contact, Store(0, ours, [packet])


def _answered(request: Request, reply: Reply) -> int:
    return 1
