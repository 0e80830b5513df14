"""The network file: which puzzle its nodes solve, in one form, signed by its authority."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from qisguard.errors import IdentityError, ProofError, QisguardError
from qisguard.identity.keys import NETWORK_TAG, to_text
from qisguard.identity.network import NAME_SIZE_MAX, Network, open_network, seal_network
from qisguard.identity.puzzle import Argon2id, PuzzleForm
from tests.builders import key_pair, make_identity, make_network

AUTHORITY = key_pair("authority")
PLAIN = make_network(c1=3, c2=5)
DEAR = replace(PLAIN, puzzle=PuzzleForm.ARGON2ID, memory=2_048, passes=3)
FILE = seal_network(DEAR, AUTHORITY)


def _open(network: Network) -> Network:
    return open_network(seal_network(network, AUTHORITY), AUTHORITY.public)


def test_a_network_of_five_values_solves_sha_256_puzzles() -> None:
    network = Network("test", AUTHORITY.public, bytes(32), 3, 5)
    assert (network.puzzle, network.cost) == ("sha256", None)
    assert _open(network) == network


@pytest.mark.rule("ID-07")
@pytest.mark.parametrize("network", [PLAIN, DEAR], ids=["sha256", "argon2id"])
def test_both_forms_round_trip_and_are_named_in_the_file(network: Network) -> None:
    assert _open(network) == network
    body = json.loads(seal_network(network, AUTHORITY).split(b"\n")[0])
    assert body["puzzle"] == network.puzzle
    assert ("memory" in body, "passes" in body) == (network.cost is not None,) * 2


def test_argon2id_has_a_cost_by_default() -> None:
    network = _open(replace(PLAIN, puzzle=PuzzleForm.ARGON2ID))
    assert network.cost == Argon2id() == Argon2id(memory=16_384, passes=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"memory": 1_023}, "memory = 1023, must be 1024 to 65536"),
        ({"memory": 65_537}, "memory = 65537, must be 1024 to 65536"),
        ({"passes": 0}, "passes = 0, must be 1 to 4"),
        ({"passes": 5}, "passes = 5, must be 1 to 4"),
        ({"c2": 65}, "c2 = 65, must be 0 to 64"),
        ({"name": ""}, "name = '', must be 1 to 64 printable"),
        ({"name": "n" * (NAME_SIZE_MAX + 1)}, "must be 1 to 64 printable"),
        ({"name": "\x1b[2J"}, "must be 1 to 64 printable"),
        ({"name": "n\n"}, "must be 1 to 64 printable"),
        ({"name": "né"}, "must be 1 to 64 printable"),
    ],
)
def test_a_value_out_of_its_range_is_refused_in_words(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(IdentityError) as refusal:
        _open(replace(DEAR, **change))
    assert message in str(refusal.value)


@pytest.mark.rule("ID-05")
def test_every_flipped_bit_and_every_truncation_is_refused() -> None:
    for bit in range(8 * len(FILE)):
        data = bytearray(FILE)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(QisguardError):
            open_network(bytes(data), AUTHORITY.public)
    for size in range(len(FILE)):
        with pytest.raises(QisguardError):
            open_network(FILE[:size], AUTHORITY.public)


@pytest.mark.rule("ID-03")
def test_text_that_is_not_canonical_is_refused_even_when_signed() -> None:
    """The last character of 32 bytes in base64url carries 4 bits and two zeros."""
    body, _, _ = FILE.split(b"\n")
    text = json.loads(body)["epoch"].encode()
    for other in (text[:-1] + b"B", text + b"=", text[:-1], text + b"A", b"+" + text[1:]):
        changed = body.replace(text, other)
        assert changed != body
        signed = changed + b"\n" + to_text(AUTHORITY.sign(NETWORK_TAG, changed)).encode() + b"\n"
        with pytest.raises(QisguardError, match="base64url"):
            open_network(signed, AUTHORITY.public)


@pytest.mark.rule("ID-06")
def test_a_new_epoch_difficulty_or_form_leaves_the_network_id_as_it_is() -> None:
    for change in ({"epoch": b"e" * 32}, {"c1": 9}, {"c2": 9}, {"memory": 4_096}):
        assert replace(DEAR, **change).id == DEAR.id
    assert DEAR.id == PLAIN.id
    assert replace(DEAR, name="tess").id != DEAR.id


def test_another_authority_is_not_believed() -> None:
    with pytest.raises(ProofError):
        open_network(FILE, key_pair("impostor").public)


names = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64)


@given(
    name=names,
    epoch=st.binary(min_size=32, max_size=32),
    c1=st.integers(0, 64),
    c2=st.integers(0, 64),
    cost=st.none() | st.builds(Argon2id, st.integers(1_024, 65_536), st.integers(1, 4)),
)
@settings(max_examples=100)
def test_any_network_within_the_ranges_round_trips(
    name: str, epoch: bytes, c1: int, c2: int, cost: Argon2id | None
) -> None:
    network = Network(name, AUTHORITY.public, epoch, c1, c2)
    if cost:
        network = replace(
            network, puzzle=PuzzleForm.ARGON2ID, memory=cost.memory, passes=cost.passes
        )
    assert _open(network) == network


def test_an_identity_of_one_form_is_not_one_of_the_other() -> None:
    plain = make_network(c2=10)
    dear = replace(plain, puzzle=PuzzleForm.ARGON2ID, memory=1_024)
    identity = make_identity(3, plain)
    plain.check_puzzles(identity.id, identity.solution)
    with pytest.raises(IdentityError, match="dynamic puzzle"):
        dear.check_puzzles(identity.id, identity.solution)
