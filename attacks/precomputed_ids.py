"""Precomputed identities: puzzles solved long before the attack, kept until they are needed.

A solution that is bound to nothing is good for ever. Ours is bound to the network's epoch value,
which nobody knows before its day; the ids and their static puzzles stay what they are.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from qisguard.attacks.puzzle_reuse import find_good, published_bits
from qisguard.errors import IdentityError
from qisguard.identity.ids import node_id
from qisguard.identity.network import EPOCH_SIZE
from qisguard.identity.puzzle import check_dynamic, solve_dynamic
from qisguard.plugins import Card, Counted, World


@dataclass(frozen=True, slots=True)
class PrecomputedIds:
    """Shows ``identities`` solved in an earlier epoch: under the published form, and under ours."""

    identities: int = 100

    def __post_init__(self) -> None:
        if not 1 <= self.identities <= 1_000_000:
            raise ValueError(f"identities = {self.identities}, must be 1 to 1000000")

    card = Card(
        id="precomputed_ids",
        family="Sybil",
        summary="identities whose puzzles were solved before the epoch began",
        capability="time, and room to keep what it computed",
        breaks="that identities cost work when they are used (identities_accepted)",
        source="Pruenster et al. on precomputed ids; Baumgart and Mies, 2007, section 4.1",
        seen="many identities in the first minutes of an epoch",
        limits="an epoch value that can be guessed helps nothing; ids and static puzzles stay",
    )

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return how many of the prepared identities would be let in today."""
        network = world.network
        ids = [node_id(rng.randbytes(32)) for _ in range(self.identities)]
        if not defended:
            good = find_good(network.c2, rng.randbytes)
            accepted = sum(published_bits(i, i ^ good) >= network.c2 for i in ids)
            return {"identities_accepted": (accepted, len(ids))}
        before = msgspec.structs.replace(network, epoch=rng.randbytes(EPOCH_SIZE))
        accepted = 0
        for identifier in ids:
            where = (before.id, before.epoch, identifier)
            solution = solve_dynamic(*where, network.c2, rng.randbytes, network.cost)
            try:
                check_dynamic(
                    network.id, network.epoch, network.c2, identifier, solution, network.cost
                )
                accepted += 1
            except IdentityError:
                continue
        return {"identities_accepted": (accepted, len(ids))}
