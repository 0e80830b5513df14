"""Puzzles: checked for the price of two hashes, bound to id, network and epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import IdentityError
from qisguard.identity import puzzle
from qisguard.identity.ids import NodeId, node_id, to_bytes
from qisguard.identity.puzzle import check, dynamic_bits, leading_zero_bits, static_bits
from tests.builders import draw, make_identity, make_network

NET, EPOCH = b"n" * 32, b"e" * 32


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
