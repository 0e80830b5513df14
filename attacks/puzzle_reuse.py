"""Puzzle reuse: one solution for every identity, where the dynamic puzzle has its published form.

S/Kademlia 4.1 asks for an X such that ``H(id XOR X)`` has c2 leading zero bits. Whoever finds one
``good`` with ``H(good)`` good enough answers for any id with ``X = id XOR good``: the second
identity, and the millionth, cost one XOR. Our form hashes network, epoch, id and X side by side;
an X that serves one id serves another with probability 2^-c2, which is what guessing gets.

No network here accepts the published form, so there is nothing to recruit into: it runs on
``direct`` and measures what the form alone decides, ``reused`` of ``tried``.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from qisguard.identity.ids import ID_SIZE, NodeId, from_bytes, node_id, to_bytes
from qisguard.identity.network import Network
from qisguard.identity.puzzle import (
    SOLUTION_SIZE,
    Draw,
    dynamic_bits,
    leading_zero_bits,
    solve_dynamic,
)
from qisguard.plugins import Card, Counted, World


@dataclass(frozen=True, slots=True)
class Reuse:
    """One solution was paid for; ``reused`` of ``tried`` other identities were served by it."""

    tried: int
    reused: int

    @property
    def ratio(self) -> float:
        """Return the share of identities that cost nothing, in [0, 1]."""
        return self.reused / self.tried if self.tried else 0.0


@dataclass(frozen=True, slots=True)
class PuzzleReuse:
    """Solve the dynamic puzzle once, and offer that solution for ``identities`` others."""

    identities: int = 1_000

    def __post_init__(self) -> None:
        if not 1 <= self.identities <= 10_000_000:
            raise ValueError(f"identities = {self.identities}, must be 1 to 10000000")

    card = Card(
        id="puzzle_reuse",
        family="Sybil",
        summary="one solution of the dynamic puzzle serves every identity",
        capability="computes one solution; chooses X freely for each identity",
        breaks="the price of an identity",
        source="against Baumgart and Mies, S/Kademlia, ICPADS 2007, section 4.1",
        seen="X of different identities differ by the XOR of their ids",
        limits="the published form only; bound to id, network and epoch, a solution serves one id",
    )

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return who was served by the one solution, and how many a second; ours if defended."""
        ids = [node_id(rng.randbytes(32)) for _ in range(self.identities + 1)]
        began = time.process_time()
        if defended:
            reuse = self.against_ours(world.network, ids, rng.randbytes)
        else:
            reuse = self.against_published(world.network.c2, ids[1:], rng.randbytes)
        seconds = max(time.process_time() - began, 1e-9)
        return {
            "identities_accepted": (reuse.reused, reuse.tried),
            "ids_per_second": reuse.reused / seconds,
        }

    def against_published(self, bits: int, identities: Sequence[NodeId], draw: Draw) -> Reuse:
        """Return how many identities one hash of ``bits`` serves under ``H(id XOR X)``."""
        good = find_good(bits, draw)
        return _count(
            identities,
            lambda identifier: published_bits(identifier, identifier ^ good) >= bits,
        )

    def against_ours(self, network: Network, identities: Sequence[NodeId], draw: Draw) -> Reuse:
        """Return how many others the solution of the first identity serves in ``network``.

        Both offers are made: the solution as it is, and moved by the XOR of the two ids, as the
        published form would want it.
        """
        first, others = identities[0], identities[1:]
        where = (network.id, network.epoch)
        solution = solve_dynamic(*where, first, network.c2, draw, network.cost)

        def is_served(identifier: NodeId) -> bool:
            moved = from_bytes(bytes(ID_SIZE - SOLUTION_SIZE) + solution) ^ first ^ identifier
            offers = (solution, to_bytes(NodeId(moved))[-SOLUTION_SIZE:])
            return any(
                dynamic_bits(*where, identifier, offer, network.cost) >= network.c2
                for offer in offers
            )

        return _count(others, is_served)


def published_bits(identifier: NodeId, x: int) -> int:
    """Return the difficulty that X meets in the published form: nobody should use it."""
    return leading_zero_bits(sha256(to_bytes(NodeId(identifier ^ x))).digest())


def find_good(bits: int, draw: Draw) -> int:
    """Return a value whose hash has ``bits`` leading zero bits, after 2^bits tries on average."""
    while leading_zero_bits(sha256(good := draw(ID_SIZE)).digest()) < bits:
        pass
    return int.from_bytes(good, "big")


def _count(identities: Sequence[NodeId], is_served: Callable[[NodeId], bool]) -> Reuse:
    return Reuse(len(identities), sum(map(is_served, identities)))
