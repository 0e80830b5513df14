"""Provider swamping: replicas that name any number of providers who do not exist.

A provider record is signed by its provider, and key pairs cost nothing where records are *read*:
the puzzle is paid by who announces, not by who is named in a page. A reader that stops at the first
few providers finds none that is real.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter

from qisguard.attacks.storage_drop import first_place
from qisguard.identity.ids import NodeId, from_bytes, to_bytes
from qisguard.identity.keys import KeyPair
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World
from qisguard.store.record import ProviderRecord, sign_record

LIFETIME = 3_600


@dataclass(slots=True)
class Swamper:
    """Answers FindProviders with pages of invented providers, and with nobody else."""

    invented: int
    network: bytes
    rng: random.Random
    pages: dict[NodeId, list[ProviderRecord]] = field(default_factory=dict)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return the next page of the swamp."""
        if not isinstance(request, messages.FindProviders):
            return honest
        place = from_bytes(request.place)
        records = self.pages.get(place) or self._fill(place, now)
        left = [r.data for r in records if to_bytes(r.provider) > request.after]
        limit = messages.PROVIDERS_MAX
        return messages.Providers(request.number, left[:limit], len(left) > limit)

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None

    def _fill(self, place: NodeId, now: float) -> list[ProviderRecord]:
        keys = [KeyPair.from_seed(self.rng.randbytes(32)) for _ in range(self.invented)]
        expires = int(now) + LIFETIME
        records = [sign_record(place, key, expires, 1, self.network) for key in keys]
        self.pages[place] = sorted(records, key=attrgetter("provider"))
        return self.pages[place]


@dataclass(frozen=True, slots=True)
class ProviderSwamp:
    """Identities nearest to a key name ``invented`` providers each."""

    invented: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.invented <= 100_000:
            raise ValueError(f"invented = {self.invented}, must be 1 to 100000")

    card = Card(
        id="provider_swamp",
        family="storage",
        summary="replicas near a key answer with providers that do not exist",
        capability="identities ground near one key; any number of free key pairs",
        breaks="whom readers ask first (provider_first, provider_false), and what reading costs",
        source="de Moura Netto et al., 2025 (early stop of Kubo: 0 to 20 % find a real provider)",
        seen="providers that only few replicas name, and that nobody can reach",
        limits="a reader that reads all replicas to the end still finds the real one among them",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return swampers around the first place under attack, each with its own swamp."""
        place = first_place(world)
        distance = min(contact.id ^ place for contact in world.members)
        for _ in range(world.budget):
            swamper = Swamper(self.invented, world.network.id, random.Random(rng.randbytes(16)))
            yield Recruit(swamper, mint.nearer(place, distance))
