"""Identities for a laboratory: fresh keys with both puzzles of a network solved.

An attacker's ids are ground from real keys: what is near a place was searched for, and paid for.
"""

from collections.abc import Iterable, Iterator

from qisguard.errors import QisguardError, ScenarioError
from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import SOLUTION_SIZE, Draw, solve_dynamic, solve_static, static_bits


class SpentError(QisguardError):
    """The attacker has tried as many keys and hashes as it may."""


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
    """Makes identities as they are asked for.

    ``tries`` counts the keys and the hashes of dynamic puzzles that were tried; there are at most
    ``tries_max`` of them, or any number for 0.
    """

    def __init__(self, network: Network, draw: Draw, tries_max: int = 0) -> None:
        self.tries = 0
        self._network = network
        self._draw = draw
        self._tries_max = tries_max

    def identity(self) -> Identity:
        """See ``Mint``; raise SpentError when ``tries_max`` is reached."""
        while True:
            key = self._key()
            if static_bits(node_id(key.public)) >= self._network.c1:
                return self._price(key)

    def nearer(self, place: NodeId, distance: int) -> Identity:
        """See ``Mint``; raise ScenarioError when ``KEYS_MAX`` keys were not enough."""
        for _ in range(KEYS_MAX):
            key = self._key()
            identifier = node_id(key.public)
            if identifier ^ place < distance and static_bits(identifier) >= self._network.c1:
                return self._price(key)
        raise ScenarioError(f"attack: no id that near to a place in {KEYS_MAX} keys")

    def _key(self) -> KeyPair:
        self._spend(1)
        return KeyPair.from_seed(self._draw(32))

    def _price(self, key: KeyPair) -> Identity:
        """Return the identity of a key; its solution tells how many hashes it took to find."""
        first: list[bytes] = []

        def draw(size: int) -> bytes:
            first.append(self._draw(size))
            return first[-1]

        identity = price(self._network, key, draw)
        start, end = (int.from_bytes(data, "big") for data in (first[0], identity.solution))
        self._spend((end - start) % (1 << 8 * SOLUTION_SIZE) + 1)
        return identity

    def _spend(self, tries: int) -> None:
        self.tries += tries
        if self._tries_max and self.tries > self._tries_max:
            raise SpentError(f"attack: {self._tries_max} tries are used up")


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
