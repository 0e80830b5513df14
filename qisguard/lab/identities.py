"""Identities for a laboratory: fresh keys with both puzzles of a network solved."""

from qisguard.identity.descriptor import Identity
from qisguard.identity.ids import node_id
from qisguard.identity.keys import KeyPair
from qisguard.identity.network import Network
from qisguard.identity.puzzle import Draw, solve_dynamic, solve_static


def mine(network: Network, draw: Draw) -> Identity:
    """Return a fresh identity that solved both puzzles of ``network``."""
    return price(network, solve_static(network.c1, draw), draw)


def price(network: Network, key: KeyPair, draw: Draw) -> Identity:
    """Return the identity of ``key`` with the dynamic puzzle of ``network`` solved."""
    where = (network.id, network.epoch, node_id(key.public))
    solution = solve_dynamic(*where, network.c2, draw, network.cost)
    tls, log, witness = (KeyPair.from_seed(draw(32)) for _ in range(3))
    return Identity(key, solution, tls, log, witness)
