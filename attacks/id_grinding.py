"""Grinding for a place: how many key pairs until enough ids are among the nearest to a key."""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nsmallest

from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import SOLUTION_SIZE, solve_dynamic, static_bits
from qisguard.plugins import Card, Counted, World


@dataclass(frozen=True, slots=True)
class IdGrinding:
    """Tries key pairs until ``wanted`` ids are among the nearest to a place.

    Nearer, that is, than the ``among``-th of ``nodes`` honest ones. The network's static puzzle
    counts in the defended arm only; its dynamic puzzle is solved for each id found, in the form
    that the network has.
    """

    nodes: int = 50
    among: int = 20
    wanted: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.nodes <= 1_000_000:
            raise ValueError(f"nodes = {self.nodes}, must be 1 to 1000000")
        if not 1 <= self.among <= self.nodes:
            raise ValueError(f"among = {self.among}, must be 1 to nodes = {self.nodes}")
        if not 1 <= self.wanted <= 1_000:
            raise ValueError(f"wanted = {self.wanted}, must be 1 to 1000")

    card = Card(
        id="id_grinding",
        family="Sybil",
        summary="tries key pairs until the ids are nearer to one key than the honest replicas",
        capability="one core; the place of a key, and how many nodes there are",
        breaks="the price of a place (keys_per_id, seconds_per_id, ids_per_second, mib_per_id)",
        source="Sridhar et al., NDSS 2024, figure 9; Baumgart and Mies, 2007, section 4.1",
        seen="young ids that share more bits with a key than chance gives",
        limits="2^c1 is a factor, not a wall: a roster is what makes chosen ids worthless",
    )

    def compute(self, world: World, defended: bool, rng: random.Random) -> Mapping[str, Counted]:
        """Return tries and seconds for each id found, on one core."""
        network = world.network
        bits = network.c1 if defended else 0
        place = rng.getrandbits(256)
        honest = [rng.getrandbits(256) for _ in range(self.nodes)]
        limit = nsmallest(self.among, (identifier ^ place for identifier in honest))[-1]
        tries = found = hashes = 0
        began = time.process_time()
        while found < self.wanted:
            tries += 1
            identifier: NodeId = node_id(KeyPair.from_seed(rng.randbytes(32)).public)
            if identifier ^ place < limit and static_bits(identifier) >= bits:
                found += 1
                if network.c2:
                    hashes += _solve(network, identifier, rng)
        seconds = time.process_time() - began
        return {
            "keys_per_id": tries / found,
            "mib_per_id": hashes * (network.memory * network.passes / 1_024) / found
            if network.cost
            else 0.0,
            "seconds_per_id": seconds / found,
            "ids_per_second": found / seconds,
        }


def _solve(network: Network, identifier: NodeId, rng: random.Random) -> int:
    """Solve the dynamic puzzle for an id; return how many hashes that took: it counts upwards."""
    start = rng.randbytes(SOLUTION_SIZE)
    where = network.id, network.epoch, identifier
    solution = solve_dynamic(*where, network.c2, lambda size: start, network.cost)
    first, last = (int.from_bytes(data, "big") for data in (start, solution))
    return (last - first) % (1 << 8 * SOLUTION_SIZE) + 1
