"""Signed files: the roster and the network file."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError, QisguardError
from qisguard.identity.keys import ROSTER_TAG
from qisguard.identity.network import Network, open_network, seal_network
from qisguard.identity.roster import Issuer, Roster, open_roster, seal_roster
from qisguard.identity.signed import seal
from tests.builders import DAY, NETWORK, key_pair, make_identity, make_network, make_roster

AUTHORITY = key_pair("authority")
ROSTER = make_roster([make_identity(index) for index in range(5)])
FILE = seal_roster(ROSTER, AUTHORITY)


def _open(roster: Roster) -> Roster:
    return open_roster(seal_roster(roster, AUTHORITY), NETWORK.id, AUTHORITY.public)


def test_a_roster_round_trips_with_its_look_ups() -> None:
    opened = open_roster(FILE, NETWORK.id, AUTHORITY.public)
    assert opened == ROSTER
    assert opened.by_node[make_identity(2).id].name == "hospital-1"
    assert opened.by_author[key_pair("author-2").public].nodes == (make_identity(4).id,)


def test_only_the_authority_signs_rosters() -> None:
    with pytest.raises(ProofError):
        open_roster(seal_roster(ROSTER, key_pair("impostor")), NETWORK.id, AUTHORITY.public)


def test_a_network_file_is_not_a_roster() -> None:
    with pytest.raises(ProofError):
        open_roster(seal_network(NETWORK, AUTHORITY), NETWORK.id, AUTHORITY.public)


def test_a_roster_of_another_network_is_refused() -> None:
    with pytest.raises(IdentityError, match="another network"):
        open_roster(FILE, make_network(name="other").id, AUTHORITY.public)


def test_a_name_key_or_node_is_enrolled_once() -> None:
    first, second = ROSTER.issuers[:2]
    for twice in (
        replace(second, name=first.name),
        replace(second, authors=first.authors),
        replace(second, nodes=first.nodes[:1] + second.nodes),
    ):
        with pytest.raises(IdentityError, match="enrolled twice"):
            _open(Roster(NETWORK.id, 1, (first, twice)))


def test_nobody_may_be_called_none() -> None:
    with pytest.raises(IdentityError, match="reserved"):
        _open(Roster(NETWORK.id, 1, (Issuer("none", DAY, (), ()),)))


def test_an_unusable_author_key_cannot_be_enrolled() -> None:
    with pytest.raises(IdentityError, match="prime-order"):
        _open(Roster(NETWORK.id, 1, (Issuer("x", DAY, (bytes(32),), ()),)))


@given(bit=st.integers(0, 8 * len(FILE) - 1))
@settings(max_examples=100)
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(FILE)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(QisguardError):
        open_roster(bytes(data), NETWORK.id, AUTHORITY.public)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"v": 1, "net": "x", "seq": 1, "issuers": []},
        {"v": 1, "net": "", "seq": "1", "issuers": []},
        {"v": 1, "net": "", "seq": 1, "issuers": [], "more": 1},
    ],
)
def test_a_signed_file_of_another_shape_is_refused(value: object) -> None:
    with pytest.raises(DecodeError):
        open_roster(seal(ROSTER_TAG, value, AUTHORITY), NETWORK.id, AUTHORITY.public)


@given(data=st.binary(max_size=300))
def test_any_bytes_are_refused_with_a_clean_error(data: bytes) -> None:
    with pytest.raises(QisguardError):
        open_roster(data, NETWORK.id, AUTHORITY.public)


def test_a_network_file_round_trips() -> None:
    network = make_network(c1=3, c2=5)
    assert open_network(seal_network(network, AUTHORITY), AUTHORITY.public) == network


@pytest.mark.parametrize(("c1", "c2"), [(-1, 0), (65, 0), (0, 65)])
def test_puzzles_nobody_could_solve_are_refused(c1: int, c2: int) -> None:
    with pytest.raises(IdentityError, match="must be 0 to 64"):
        open_network(seal_network(make_network(c1, c2), AUTHORITY), AUTHORITY.public)


def test_a_network_file_names_the_key_that_signed_it() -> None:
    other = key_pair("impostor")
    with pytest.raises(IdentityError, match="another authority"):
        open_network(seal_network(NETWORK, other), other.public)


def test_the_network_id_binds_name_and_authority() -> None:
    assert NETWORK.id != make_network(name="tesu").id
    assert NETWORK.id != Network("test", key_pair("x").public, bytes(32), 0, 0).id
