"""Equivocation: one author signs two outcomes of one case under one number, for different readers.

Both signatures are good, so no single replica can object until it sees the other: what one replica
holds has to reach another, and then the two bodies together are proof against the author.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from qisguard.attacks.client import client, nearest
from qisguard.attacks.provider_spam import LIFETIME, invented
from qisguard.attacks.storage_drop import first_key
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import placement
from qisguard.identity.keys import KeyPair
from qisguard.node.contact import Contact
from qisguard.node.messages import Request, Store
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.store.record import sign_record


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Gives one half of the replicas one body and the other half another, for ``cases`` cases."""

    cases: int = 5

    def __post_init__(self) -> None:
        if not 1 <= self.cases <= 10_000:
            raise ValueError(f"cases = {self.cases}, must be 1 to 10000")

    card = Card(
        id="equivocation",
        family="integrity",
        summary="two bodies with one sequence number, each shown to one half of the replicas",
        capability="an identity, and an author key of its own",
        breaks="that all readers see the same (evidence_found until it is noticed)",
        source="catalogue EQ1; Li et al., SUNDR, OSDI 2004 (fork consistency)",
        seen="pairs of packets in a store's evidence",
        limits="noticed when replicas compare what they hold: within a round of repair",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return equivocating publishers."""
        first_key(world)
        for _ in range(world.budget):
            identity = mint.identity()
            asks = self._asks(world, identity, random.Random(rng.randbytes(16)))
            speaks = client(world, identity, asks, rng, "false_accepted")
            yield Recruit(identity=identity, speaks=speaks)

    def _asks(
        self, world: World, identity: Identity, rng: random.Random
    ) -> Iterator[tuple[float, Contact, Request]]:
        author = KeyPair.from_seed(rng.randbytes(32))
        for number in range(self.cases):
            key = world.keys[number % len(world.keys)]
            place, case = placement(key), rng.randbytes(16)
            record = sign_record(place, identity.key, LIFETIME, 1, world.network.id).data
            bodies = [invented(world, key, author, rng, case).data for _ in range(2)]
            for at, contact in enumerate(nearest(world, place, world.config.replica_count)):
                yield 0.0, contact, Store(0, record, [bodies[at % 2]])
