"""Argon2id in the laboratory: identities dearer, places not."""

import random

import pytest
from msgspec.structs import replace

from qisguard.attacks.id_grinding import IdGrinding
from qisguard.config import NodeConfig
from qisguard.defenses.argon2id import Argon2idPuzzle
from qisguard.errors import IdentityError
from qisguard.identity.puzzle import MEMORY_MIN, PuzzleForm
from qisguard.lab.identities import mine
from qisguard.plugins import World
from tests.builders import DAY, NETWORK, draw

CHEAP = Argon2idPuzzle(dynamic_bits=2, memory=MEMORY_MIN)
SHA = replace(NETWORK, c2=2)


def test_the_defence_changes_the_form_of_the_dynamic_puzzle_and_keeps_the_static_one() -> None:
    network = CHEAP.price(replace(SHA, c1=3))
    assert (network.puzzle, network.memory) == (PuzzleForm.ARGON2ID, MEMORY_MIN)
    assert (network.c1, network.c2) == (3, 2)


def test_identities_solve_the_form_of_their_network() -> None:
    network = replace(CHEAP.price(NETWORK), c2=8)
    identity = mine(network, draw("argon"))
    network.check_puzzles(identity.id, identity.solution)
    with pytest.raises(IdentityError, match="dynamic puzzle"):
        replace(network, puzzle=PuzzleForm.SHA256).check_puzzles(identity.id, identity.solution)


def test_places_cost_as_many_keys_and_identities_far_more_seconds() -> None:
    told = {}
    for name, network in (("sha256", SHA), ("argon2id", CHEAP.price(NETWORK))):
        world = World(NETWORK, DAY, 0, NodeConfig())
        attack = IdGrinding(nodes=50, among=20, wanted=10)
        told[name] = attack.compute(
            World(network, DAY, 0, world.config), name == "argon2id", random.Random(1)
        )
    keys = [float(counts["keys_per_id"]) for counts in told.values()]  # type: ignore[arg-type]
    seconds = [float(counts["seconds_per_id"]) for counts in told.values()]  # type: ignore[arg-type]
    assert keys == pytest.approx([2.5, 2.5], rel=0.5)
    assert seconds[1] > 3 * seconds[0]
    memory = [float(counts["mib_per_id"]) for counts in told.values()]  # type: ignore[arg-type]
    assert memory == pytest.approx([0.0, 4.0], rel=0.6), "2^2 tries of one MiB"


@pytest.mark.parametrize("words", [{"dynamic_bits": 25}, {"memory": 1}, {"passes": 0}])
def test_a_cost_that_no_network_can_have_is_refused(words: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(words))} = "):
        Argon2idPuzzle(**words)
