"""Whitewashing: whoever is banned comes back under a fresh identity. What does one cost?"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from qisguard.identity.ids import node_id
from qisguard.identity.puzzle import search_dynamic, search_static
from qisguard.plugins import Card, Counted, World


@dataclass(frozen=True, slots=True)
class Whitewashing:
    """Makes ``identities`` fresh identities, one after each ban, and counts what they took."""

    identities: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.identities <= 10_000:
            raise ValueError(f"identities = {self.identities}, must be 1 to 10000")

    card = Card(
        id="whitewashing",
        family="churn",
        summary="a banned attacker returns under a fresh identity",
        capability="computes both puzzles of the network",
        breaks="bans, reputation, budgets for each identity",
        source="Friedman and Resnick, 2001 (cheap pseudonyms); catalogue, CH2",
        seen="newcomers that behave like those banned before",
        limits="costs 2^c1 keys and 2^c2 hashes each; impossible where a roster admits",
    )

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return how many keys and hashes one fresh identity took, on average."""
        tries = sum(_tries(world, rng) for _ in range(self.identities))
        return {"identity_tries": tries / self.identities}


def _tries(world: World, rng: random.Random) -> int:
    """Make an identity, one try after the other, and return how many there were."""
    network = world.network
    keys, key = 1, search_static(network.c1, rng.randbytes, 1)
    while key is None:
        keys, key = keys + 1, search_static(network.c1, rng.randbytes, 1)
    where = (network.id, network.epoch, node_id(key.public), network.c2)
    hashes = 1
    while search_dynamic(*where, rng.randbytes, 1, network.cost) is None:
        hashes += 1
    return keys + hashes
