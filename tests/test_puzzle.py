"""Puzzles: bound to id, network and epoch, in the form of a hash and in that of Argon2id."""

import random

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as OpenSslArgon2id
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import IdentityError
from qisguard.identity import puzzle
from qisguard.identity.ids import NodeId, node_id, to_bytes
from qisguard.identity.puzzle import (
    ARGON2ID_TAG,
    DYNAMIC_TAG,
    Argon2id,
    check,
    check_dynamic,
    dynamic_bits,
    leading_zero_bits,
    search_dynamic,
    search_static,
    static_bits,
)
from tests.builders import draw, make_identity, make_network

NET, EPOCH = b"n" * 32, b"e" * 32
CHEAP = Argon2id(1_024, 1)


@given(data=st.binary(min_size=1, max_size=40))
def test_leading_zero_bits_are_counted_as_on_paper(data: bytes) -> None:
    text = "".join(f"{byte:08b}" for byte in data)
    assert leading_zero_bits(data) == len(text) - len(text.lstrip("0"))


def test_solvers_meet_the_difficulty_asked_for() -> None:
    key = puzzle.solve_static(6, draw("static"))
    assert static_bits(node_id(key.public)) >= 6
    solution = puzzle.solve_dynamic(NET, EPOCH, node_id(key.public), 8, draw("dynamic"))
    check(NET, EPOCH, 6, 8, node_id(key.public), solution)


def test_one_solution_serves_one_id_one_network_and_one_epoch() -> None:
    identifier = NodeId(5)
    solution = puzzle.solve_dynamic(NET, EPOCH, identifier, 12, draw("bound"))
    assert dynamic_bits(NET, EPOCH, identifier, solution) >= 12
    assert dynamic_bits(NET, EPOCH, NodeId(6), solution) < 12
    assert dynamic_bits(b"m" * 32, EPOCH, identifier, solution) < 12
    assert dynamic_bits(NET, b"f" * 32, identifier, solution) < 12


def test_the_broken_published_form_does_not_help_here() -> None:
    """With H(id XOR X) one good hash would serve every id through X = id XOR good."""
    first, second = NodeId(1 << 100), NodeId(1 << 90)
    solution = puzzle.solve_dynamic(NET, EPOCH, first, 12, draw("broken"))
    moved = bytes(
        x ^ a ^ b
        for x, a, b in zip(solution, to_bytes(first)[16:], to_bytes(second)[16:], strict=True)
    )
    assert dynamic_bits(NET, EPOCH, second, moved) < 12


def test_unsolved_puzzles_and_wrong_sizes_are_refused() -> None:
    identity = make_identity(0)
    with pytest.raises(IdentityError, match="static"):
        check(NET, EPOCH, 200, 0, identity.id, bytes(16))
    with pytest.raises(IdentityError, match="dynamic"):
        check(NET, EPOCH, 0, 200, identity.id, bytes(16))
    for size in (0, 15, 17):
        with pytest.raises(IdentityError, match="solution"):
            check(NET, EPOCH, 0, 0, identity.id, bytes(size))


def test_an_identity_pays_both_puzzles_of_its_network() -> None:
    network = make_network(c1=3, c2=5)
    identity = make_identity(0, network)
    network.check_puzzles(identity.id, identity.solution)


@pytest.mark.rule("ID-09")
def test_a_solution_holds_for_its_own_id_network_and_epoch_alone() -> None:
    """Of 3,000 changes to what a 12-bit solution is bound to, 2^-12 each: 0.7 expected."""
    identifier = NodeId(5)
    solution = puzzle.solve_dynamic(NET, EPOCH, identifier, 12, draw("alone"))
    rng = random.Random(1)
    served = 0
    for _ in range(1_000):
        net, epoch, other = rng.randbytes(32), rng.randbytes(32), NodeId(rng.getrandbits(256))
        served += dynamic_bits(net, EPOCH, identifier, solution) >= 12
        served += dynamic_bits(NET, epoch, identifier, solution) >= 12
        served += dynamic_bits(NET, EPOCH, other, solution) >= 12
    assert served <= 5


@pytest.mark.rule("ID-10")
@pytest.mark.parametrize("cost", [CHEAP, Argon2id(1_024, 4), Argon2id(1_027, 2), Argon2id()])
def test_argon2id_agrees_with_openssl(cost: Argon2id) -> None:
    identifier, solution = NodeId(7 << 200), bytes(range(16))
    kdf = OpenSslArgon2id(
        salt=solution, length=32, iterations=cost.passes, lanes=1, memory_cost=cost.memory
    )
    digest = kdf.derive(ARGON2ID_TAG + NET + EPOCH + to_bytes(identifier))
    assert dynamic_bits(NET, EPOCH, identifier, solution, cost) == leading_zero_bits(digest)


def test_an_argon2id_solution_is_bound_to_id_network_epoch_and_cost() -> None:
    identifier = NodeId(5)
    solution = puzzle.solve_dynamic(NET, EPOCH, identifier, 9, draw("argon"), CHEAP)
    check_dynamic(NET, EPOCH, 9, identifier, solution, CHEAP)
    for where in (
        (NET, EPOCH, NodeId(6), solution, CHEAP),
        (b"m" * 32, EPOCH, identifier, solution, CHEAP),
        (NET, b"f" * 32, identifier, solution, CHEAP),
        (NET, EPOCH, identifier, solution, Argon2id(1_024, 2)),
        (NET, EPOCH, identifier, solution, Argon2id(2_048, 1)),
        (NET, EPOCH, identifier, solution, None),
    ):
        assert dynamic_bits(*where) < 9


def test_a_search_ends_after_its_tries() -> None:
    counted = []

    def count(size: int) -> bytes:
        counted.append(size)
        return bytes([len(counted)]) * size

    assert search_static(200, count, 5) is None
    assert counted == [32] * 5
    assert search_dynamic(NET, EPOCH, NodeId(5), 200, count, 5) is None
    assert counted[5:] == [16]


def test_a_search_counts_upwards_and_over_the_top() -> None:
    top = [x.to_bytes(16, "big") for x in (2**128 - 2, 2**128 - 1, 0, 1, 2, 3)]
    bits = [dynamic_bits(NET, EPOCH, NodeId(5), x) for x in top]
    best = max(bits)
    found = search_dynamic(NET, EPOCH, NodeId(5), best, lambda size: top[0], len(top))
    assert found == top[bits.index(best)]
    assert search_dynamic(NET, EPOCH, NodeId(5), best + 1, lambda size: top[0], len(top)) is None


def test_a_puzzle_of_no_bits_costs_no_evaluation() -> None:
    """An evaluation with this memory raises: it is more than libsodium allows."""
    impossible = Argon2id(1 << 33, 1)
    check(NET, EPOCH, 0, 0, NodeId(5), bytes(16), impossible)
    with pytest.raises(IdentityError, match="Argon2id with 8589934592 KiB and 1 passes"):
        check(NET, EPOCH, 0, 1, NodeId(5), bytes(16), impossible)


def test_the_two_forms_have_tags_of_their_own() -> None:
    assert not ARGON2ID_TAG.startswith(DYNAMIC_TAG)
    assert not DYNAMIC_TAG.startswith(ARGON2ID_TAG)
