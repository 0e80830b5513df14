"""Crypto puzzles that price identities (S/Kademlia, section 4.1).

The static puzzle makes *choosing* an id 2^c1 times dearer; the dynamic one prices each id again,
for each epoch. Our dynamic puzzle hashes id and solution side by side: the published form
``H(id XOR X)`` is broken, because one good hash serves every id through ``X = id XOR good``.
Puzzles brake floods; they do not protect small networks.
"""

from collections.abc import Callable
from hashlib import sha256

from qisguard.errors import IdentityError
from qisguard.identity.ids import NodeId, node_id, to_bytes
from qisguard.identity.keys import KeyPair

SOLUTION_SIZE = 16
DYNAMIC_TAG = b"qisguard-dyn-v1"

Draw = Callable[[int], bytes]
"""Returns that many fresh random bytes: a seeded generator in the laboratory, the OS elsewhere."""


def leading_zero_bits(digest: bytes) -> int:
    """Return how many bits of ``digest`` are zero before the first one."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def static_bits(identifier: NodeId) -> int:
    """Return the static difficulty that an id meets: zero bits leading the hash of the id."""
    return leading_zero_bits(sha256(to_bytes(identifier)).digest())


def dynamic_bits(network: bytes, epoch: bytes, identifier: NodeId, solution: bytes) -> int:
    """Return the dynamic difficulty that a 16-byte solution meets in this network and epoch."""
    message = DYNAMIC_TAG + network + epoch + to_bytes(identifier) + solution
    return leading_zero_bits(sha256(message).digest())


def solve_static(c1: int, draw: Draw) -> KeyPair:
    """Return an identity key whose id meets ``c1`` bits, after 2^c1 tries on average."""
    while True:
        key = KeyPair.from_seed(draw(32))
        if static_bits(node_id(key.public)) >= c1:
            return key


def solve_dynamic(network: bytes, epoch: bytes, identifier: NodeId, c2: int, draw: Draw) -> bytes:
    """Return a solution of ``c2`` bits, after 2^c2 tries on average."""
    counter = int.from_bytes(draw(SOLUTION_SIZE), "big")
    while True:
        solution = counter.to_bytes(SOLUTION_SIZE, "big")
        if dynamic_bits(network, epoch, identifier, solution) >= c2:
            return solution
        counter = (counter + 1) % (1 << 8 * SOLUTION_SIZE)


def check(
    network: bytes, epoch: bytes, c1: int, c2: int, identifier: NodeId, solution: bytes
) -> None:
    """Raise IdentityError unless both puzzles are solved: two hashes, whatever the difficulty."""
    if static_bits(identifier) < c1:
        raise IdentityError(f"static puzzle: {static_bits(identifier)} bits, at least {c1} wanted")
    if len(solution) != SOLUTION_SIZE:
        raise IdentityError(f"solution: {len(solution)} bytes, must be {SOLUTION_SIZE}")
    bits = dynamic_bits(network, epoch, identifier, solution)
    if bits < c2:
        raise IdentityError(f"dynamic puzzle: {bits} bits, at least {c2} wanted")
