"""Replicas that take everything and give nothing back: everywhere, or around one key.

Both answer every write and every look-up like honest nodes, so that nobody misses anything until
somebody reads.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId, from_bytes, placement
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.plugins import Card, Mint, Recruit, World


@dataclass(frozen=True, slots=True)
class Forgetful:
    """Holds nothing when it is asked; with ``only``, nothing of that place."""

    only: NodeId | None = None

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Return an empty page for every question about what is held."""
        number = request.number
        match request:
            case messages.ListPackets(key=name) if self._drops(name):
                return messages.Listing(number, [], more=False)
            case messages.FetchPackets(key=name) if self._drops(name):
                return messages.Packets(number, [])
            case messages.FindProviders(place=name) if self._drops(name):
                return messages.Providers(number, [], more=False)
            case messages.FindValue(place=name) if self._drops(name):
                is_path = isinstance(honest, messages.Nodes)
                return honest if is_path else messages.Nodes(number, [])
            case messages.ListKeys() if self.only is None:
                return messages.Keys(number, [], more=False)
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """Take no initiative."""
        return None

    def _drops(self, name: bytes) -> bool:
        return self.only is None or from_bytes(name) == self.only


@dataclass(frozen=True, slots=True)
class StorageDrop:
    """A share of the network acknowledges records and forgets them."""

    card = Card(
        id="storage_drop",
        family="storage",
        summary="replicas acknowledge what they are given and never serve it",
        capability="a share m of all identities, anywhere in the network",
        breaks="availability of records (readable)",
        source="Srivatsa and Liu, ACSAC 2004: P(readable) = 1 - m^k with k replicas",
        seen="replicas that acknowledge a packet and list none: repair finds it missing there",
        limits="readers ask all replicas: one honest one is enough",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return forgetful nodes with random ids."""
        return [Recruit(Forgetful(), mint.identity()) for _ in range(world.budget)]


@dataclass(frozen=True, slots=True)
class StorageCensor:
    """Identities nearer to one key than everybody honest become its replicas, and forget it."""

    card = Card(
        id="storage_censor",
        family="storage",
        summary="identities ground to be the closest to one key keep its records from readers",
        capability="tries key pairs until every one of its ids is nearer than the nearest honest",
        breaks="availability of one key (readable)",
        source="Sridhar et al., NDSS 2024: 45 closest ids censor 99.2 % of keys on IPFS",
        seen="many young ids share a prefix with the key that no two honest ones share",
        limits="replicas by roster cannot be bought; puzzles make it dearer, by a constant factor",
    )

    def recruit(self, world: World, mint: Mint, rng: random.Random) -> Iterable[Recruit]:
        """Return censors around the first place under attack."""
        place = first_place(world)
        distance = min(contact.id ^ place for contact in world.members)
        for _ in range(world.budget):
            yield Recruit(Forgetful(place), mint.nearer(place, distance))


def first_place(world: World) -> NodeId:
    """Return the place under attack; raise ScenarioError where there is none."""
    if not world.places:
        raise ScenarioError("attack: needs a place, set workload.targets = 'one'")
    return world.places[0]


def first_key(world: World) -> bytes:
    """Return the key under attack; raise ScenarioError where nothing is published."""
    if not world.keys:
        raise ScenarioError("attack: needs a key, set workload.kind = 'records' or 'providers'")
    assert placement(world.keys[0]) == world.places[0]
    return world.keys[0]
