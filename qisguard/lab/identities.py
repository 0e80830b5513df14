"""Identities for a laboratory: fresh keys with both puzzles of a network solved.

An attacker's ids are ground from real keys: what is near a place was searched for, and paid for.
"""

from collections.abc import Iterable, Iterator

from qisguard.errors import ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw, solve_dynamic, solve_static, static_bits


def mine(network: Network, draw: Draw) -> Identity:
    """Return a fresh identity that solved both puzzles of ``network``."""
    return price(network, solve_static(network.c1, draw), draw)


def price(network: Network, key: KeyPair, draw: Draw) -> Identity:
    """Return the identity of ``key`` with the dynamic puzzle of ``network`` solved."""
    where = (network.id, network.epoch, node_id(key.public))
    solution = solve_dynamic(*where, network.c2, draw, network.cost)
    tls, log, witness = (KeyPair.from_seed(draw(32)) for _ in range(3))
    return Identity(key, solution, tls, log, witness)


KEYS_MAX = 50_000_000
"""Keys that may be tried for one identity near a place: half an hour of one core."""


class Mine:
    """Makes identities as they are asked for; ``keys`` counts the key pairs that were tried."""

    def __init__(self, network: Network, draw: Draw) -> None:
        self.keys = 0
        self._network = network
        self._draw = draw

    def identity(self) -> Identity:
        """See ``Mint``."""
        self.keys += 1 << self._network.c1
        return mine(self._network, self._draw)

    def nearer(self, place: NodeId, distance: int) -> Identity:
        """See ``Mint``; raise ScenarioError when ``KEYS_MAX`` keys were not enough."""
        for _ in range(KEYS_MAX):
            self.keys += 1
            key = KeyPair.from_seed(self._draw(32))
            identifier = node_id(key.public)
            if identifier ^ place < distance and static_bits(identifier) >= self._network.c1:
                return price(self._network, key, self._draw)
        raise ScenarioError(f"attack: no id that near to a place in {KEYS_MAX} keys")


class Prepared:
    """Hands out identities that were made before, in order."""

    def __init__(self, identities: Iterable[Identity]) -> None:
        self._left: Iterator[Identity] = iter(identities)

    def identity(self) -> Identity:
        """See ``Mint``; raise ScenarioError when there are no more."""
        for identity in self._left:
            return identity
        raise ScenarioError("attack: asks for more identities than were prepared")

    def nearer(self, place: NodeId, distance: int) -> Identity:
        """See ``Mint``: nothing can be chosen here."""
        raise ScenarioError("attack: asks for chosen ids, and none can be made here")
