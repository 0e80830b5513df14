"""One solution for everybody: under the published form of the dynamic puzzle, and under ours."""

import pytest
from msgspec.structs import replace

from qisguard.attacks.puzzle_reuse import PuzzleReuse, Reuse, find_good, published_bits
from qisguard.identity.ids import NodeId, node_id
from qisguard.identity.puzzle import PuzzleForm
from tests.builders import draw, make_network

COUNT = 1_000
IDENTITIES = [node_id(draw(f"reuse {index}")(32)) for index in range(COUNT + 1)]
ATTACK = PuzzleReuse()


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_one_solution_serves_a_thousand_identities_under_the_published_form(bits: int) -> None:
    assert ATTACK.against_published(bits, IDENTITIES[1:], draw("good")) == Reuse(COUNT, COUNT)


@pytest.mark.rule("ID-09")
def test_under_ours_one_solution_serves_no_more_than_guessing_does() -> None:
    """Two offers to each of 1,000 ids: 2 * 1,000 * 2^-8 = 7.8 expected, deviation 2.8."""
    assert ATTACK.against_ours(make_network(c2=8), IDENTITIES, draw("ours")).reused <= 18
    assert ATTACK.against_ours(make_network(c2=20), IDENTITIES, draw("ours")) == Reuse(COUNT, 0)


def test_under_argon2id_one_solution_serves_no_more_than_guessing_does() -> None:
    """Two offers to each of 100 ids: 2 * 100 * 2^-6 = 3.1 expected, deviation 1.8."""
    network = replace(make_network(c2=6), puzzle=PuzzleForm.ARGON2ID, memory=1_024)
    reuse = ATTACK.against_ours(network, IDENTITIES[:101], draw("argon2id"))
    assert (reuse.tried, reuse.reused <= 10) == (100, True)


def test_what_is_reused_is_one_hash() -> None:
    good = find_good(10, draw("one"))
    assert published_bits(NodeId(0), good) >= 10
    for identifier in IDENTITIES[:50]:
        assert published_bits(identifier, identifier ^ good) == published_bits(NodeId(0), good)


def test_a_ratio_of_nothing_is_nothing() -> None:
    assert Reuse(0, 0).ratio == 0.0
    assert Reuse(4, 1).ratio == 0.25
