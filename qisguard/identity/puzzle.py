"""Crypto puzzles that price identities (S/Kademlia, section 4.1).

The static puzzle makes *choosing* an id 2^c1 times dearer; the dynamic one prices each id again,
for each epoch. Our dynamic puzzle hashes id and solution side by side: the published form
``H(id XOR X)`` is broken, because one good hash serves every id through ``X = id XOR good`` (shown
by ``attacks/puzzle_reuse.py``). Puzzles brake floods; they do not protect small networks.

The dynamic puzzle has two forms. SHA-256 costs nothing to check and little to search on special
hardware. Argon2id (RFC 9106) fills memory at each try, which takes that advantage away; it costs
the verifier too, so it is checked after everything else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13
from nacl.exceptions import CryptoError

from qisguard.errors import IdentityError
from qisguard.identity.ids import ID_BITS, NodeId, node_id, to_bytes
from qisguard.identity.keys import KeyPair

SOLUTION_SIZE = 16
"""Also the size of an Argon2id salt in libsodium, which is where that form puts the solution."""
DYNAMIC_TAG = b"qisguard-dyn-v1"
ARGON2ID_TAG = b"qisguard-dyn-argon2id-v1"

MEMORY_MIN, MEMORY_MAX, MEMORY_DEFAULT = 1_024, 65_536, 16_384
"""KiB that one Argon2id evaluation fills."""
PASSES_MIN, PASSES_MAX, PASSES_DEFAULT = 1, 4, 1

Draw = Callable[[int], bytes]
"""Returns that many fresh random bytes: a seeded generator in the laboratory, the OS elsewhere."""


class PuzzleForm(StrEnum):
    """How the dynamic puzzle is hashed."""

    SHA256 = "sha256"
    ARGON2ID = "argon2id"


@dataclass(frozen=True, slots=True)
class Argon2id:
    """Cost of one evaluation with one lane: ``memory`` in KiB, filled ``passes`` times.

    Measured with PyNaCl 1.6.2 on one core of a 2-core AMD EPYC, medians of 51: the default (16 MiB,
    one pass) takes 8.6 ms, the least allowed (1 MiB, one pass) 0.5 ms and the most (64 MiB, four
    passes) 101 ms. That is what a wrong solution under a valid signature costs its verifier.
    """

    memory: int = MEMORY_DEFAULT
    passes: int = PASSES_DEFAULT


def leading_zero_bits(digest: bytes) -> int:
    """Return how many bits of ``digest`` are zero before the first one."""
    return 8 * len(digest) - int.from_bytes(digest, "big").bit_length()


def static_bits(identifier: NodeId) -> int:
    """Return the static difficulty that an id meets: zero bits leading the hash of the id."""
    return leading_zero_bits(sha256(to_bytes(identifier)).digest())


def dynamic_bits(
    network: bytes,
    epoch: bytes,
    identifier: NodeId,
    solution: bytes,
    cost: Argon2id | None = None,
) -> int:
    """Return the dynamic difficulty that a 16-byte solution meets in this network and epoch."""
    return leading_zero_bits(_hasher(network, epoch, identifier, cost)(solution))


def search_static(c1: int, draw: Draw, tries: int) -> KeyPair | None:
    """Return an identity key whose id meets ``c1`` bits, or None after that many tries."""
    for _ in range(tries):
        key = KeyPair.from_seed(draw(32))
        if static_bits(node_id(key.public)) >= c1:
            return key
    return None


def search_dynamic(
    network: bytes,
    epoch: bytes,
    identifier: NodeId,
    c2: int,
    draw: Draw,
    tries: int,
    cost: Argon2id | None = None,
) -> bytes | None:
    """Return a solution of ``c2`` bits, or None; tries count upwards from a random start."""
    digest = _hasher(network, epoch, identifier, cost)
    counter = int.from_bytes(draw(SOLUTION_SIZE), "big")
    limit = 1 << (ID_BITS - c2)
    for _ in range(tries):
        solution = counter.to_bytes(SOLUTION_SIZE, "big")
        if int.from_bytes(digest(solution), "big") < limit:
            return solution
        counter = (counter + 1) % (1 << 8 * SOLUTION_SIZE)
    return None


def solve_static(c1: int, draw: Draw) -> KeyPair:
    """Return an identity key whose id meets ``c1`` bits, after 2^c1 tries on average."""
    while (key := search_static(c1, draw, 1 << 16)) is None:
        pass
    return key


def solve_dynamic(
    network: bytes,
    epoch: bytes,
    identifier: NodeId,
    c2: int,
    draw: Draw,
    cost: Argon2id | None = None,
) -> bytes:
    """Return a solution of ``c2`` bits, after 2^c2 tries on average."""
    where = (network, epoch, identifier)
    while (solution := search_dynamic(*where, c2, draw, 1 << 32, cost)) is None:
        pass
    return solution


def check_static(c1: int, identifier: NodeId) -> None:
    """Raise IdentityError unless an id meets ``c1`` bits: one hash."""
    bits = static_bits(identifier)
    if bits < c1:
        raise IdentityError(f"static puzzle: {bits} bits, at least {c1} wanted")


def check_dynamic(
    network: bytes,
    epoch: bytes,
    c2: int,
    identifier: NodeId,
    solution: bytes,
    cost: Argon2id | None = None,
) -> None:
    """Raise IdentityError unless ``solution`` meets ``c2`` bits: one evaluation, none for 0 bits.

    Raises:
        IdentityError: also for a solution of another size, and when there is not the memory to
            tell.
    """
    check_solution_size(solution)
    if not c2:
        return
    bits = dynamic_bits(network, epoch, identifier, solution, cost)
    if bits < c2:
        raise IdentityError(f"dynamic puzzle: {bits} bits, at least {c2} wanted")


def check_solution_size(solution: bytes) -> None:
    """Raise IdentityError unless a solution has 16 bytes."""
    if len(solution) != SOLUTION_SIZE:
        raise IdentityError(f"solution: {len(solution)} bytes, must be {SOLUTION_SIZE}")


def check(
    network: bytes,
    epoch: bytes,
    c1: int,
    c2: int,
    identifier: NodeId,
    solution: bytes,
    cost: Argon2id | None = None,
) -> None:
    """Raise IdentityError unless both puzzles are solved, whatever the difficulty."""
    check_static(c1, identifier)
    check_dynamic(network, epoch, c2, identifier, solution, cost)


def _hasher(
    network: bytes, epoch: bytes, identifier: NodeId, cost: Argon2id | None
) -> Callable[[bytes], bytes]:
    """Return the function from a solution to its 32-byte digest."""
    bound = network + epoch + to_bytes(identifier)
    if cost is None:
        start = sha256(DYNAMIC_TAG + bound)

        def fast(solution: bytes) -> bytes:
            state = start.copy()
            state.update(solution)
            return state.digest()

        return fast

    def dear(solution: bytes) -> bytes:
        try:
            return crypto_pwhash_alg(
                32,
                ARGON2ID_TAG + bound,
                solution,
                cost.passes,
                cost.memory * 1_024,
                crypto_pwhash_ALG_ARGON2ID13,
            )
        except CryptoError as error:
            raise IdentityError(
                f"dynamic puzzle: Argon2id with {cost.memory} KiB and {cost.passes} passes: {error}"
            ) from None

    return dear
