"""Index poisoning: provider and index records in the names of others.

Two forms: a record that an honest provider did sign, shown by somebody else (a later expiry cannot
be forged, but old ones could be kept alive, and other replicas flooded), and one that names a
victim under a signature that is not its own.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.client import client, nearest
from qisguard.attacks.storage_drop import first_key
from qisguard.identity.ids import placement, to_bytes
from qisguard.identity.keys import KeyPair
from qisguard.node.contact import Contact
from qisguard.node.messages import Announce, Request, Store
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.store.record import index_place, join_record, sign_index, sign_record

LIFETIME = 3_600


@dataclass(frozen=True, slots=True)
class IndexPoisoning:
    """Each identity shows ``records_each`` records of other providers to the replicas of a key."""

    records_each: int = 20
    per_second: float = 50.0

    def __post_init__(self) -> None:
        if not 1 <= self.records_each <= 100_000:
            raise ValueError(f"records_each = {self.records_each}, must be 1 to 100000")
        if not 0.001 <= self.per_second <= 100_000:
            raise ValueError(f"per_second = {self.per_second}, must be 0.001 to 100000")

    card = Card(
        id="index_poisoning",
        family="storage",
        summary="announces records that name other identities as providers",
        capability="an identity of its own, and other key pairs that never joined",
        breaks="who is believed to hold a key (false_accepted)",
        source="index poisoning of Kad (Liang et al., INFOCOM 2006); libp2p kad-dht specification",
        seen="refusals 'record: announced by another than its provider'",
        limits="always on here: a record is taken only in its provider's own session",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return clients that announce others."""
        first_key(world)
        for _ in range(world.budget):
            identity = mint.identity()
            asks = self._asks(world, random.Random(rng.randbytes(16)))
            speaks = client(world, identity, asks, rng, "false_accepted")
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(self, world: World, rng: random.Random) -> Iterator[tuple[float, Contact, Request]]:
        count = 0
        for number in range(self.records_each):
            key = world.keys[number % len(world.keys)]
            place = placement(key)
            other = KeyPair.from_seed(rng.randbytes(32))
            real = sign_record(place, other, LIFETIME, 1, world.network.id).data
            forged = join_record(to_bytes(place), other.public, LIFETIME, 1, bytes(64))
            entry = sign_index(key, other, LIFETIME, 1, world.network.id).data
            shown: list[tuple[Request, list[Contact]]] = [
                (Store(0, real, []), nearest(world, place, world.config.replica_count)),
                (Store(0, forged, []), nearest(world, place, world.config.replica_count)),
                (
                    Announce(0, entry),
                    nearest(world, index_place(key[0]), world.config.replica_count),
                ),
            ]
            for request, contacts in shown:
                for contact in contacts:
                    yield count / self.per_second, contact, request
                    count += 1
