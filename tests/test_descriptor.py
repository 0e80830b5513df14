"""Descriptors: signed, expiring, of one network, and never re-encoded."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError, QisguardError
from qisguard.identity.descriptor import DESCRIPTOR_SIZE_MAX, Descriptor, open_descriptor
from qisguard.identity.keys import DESCRIPTOR_TAG
from tests.builders import DAY, NETWORK, make_identity, make_network

IDENTITY = make_identity(1)
GOOD = IDENTITY.describe(NETWORK, ("192.0.2.7", 4_000), seq=3, expires=DAY)
V, NET, KEY, SOLUTION, HOST, PORT, TLS, LOG, WITNESS, SEQ, EXPIRES = range(11)


def _forge(field: int, value: object) -> bytes:
    """Return a descriptor with one field changed, signed by its own identity."""
    fields = msgspec.msgpack.decode(GOOD.signed[:-64])
    fields[field] = value
    body = msgspec.msgpack.encode(fields)
    return body + IDENTITY.key.sign(DESCRIPTOR_TAG, body)


def test_a_descriptor_round_trips_as_the_bytes_that_were_signed() -> None:
    opened = open_descriptor(GOOD.signed, NETWORK)
    assert opened == GOOD
    assert opened.signed == GOOD.signed
    assert (opened.id, opened.address, opened.seq) == (IDENTITY.id, ("192.0.2.7", 4_000), 3)


def test_it_is_good_through_its_last_day() -> None:
    GOOD.check_day(DAY)
    with pytest.raises(IdentityError, match="expired"):
        GOOD.check_day(DAY + 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (V, 2),
        (NET, b"n" * 32),
        (KEY, b""),
        (KEY, bytes(32)),
        (KEY, IDENTITY.tls.public),
        (TLS, IDENTITY.key.public),
        (LOG, b"\x01" + bytes(31)),
        (WITNESS, bytes(31)),
        (SOLUTION, b""),
        (HOST, "localhost"),
        (HOST, "192.0.2.07"),
        (HOST, "2001:DB8::1"),
        (HOST, "fe80::1%<script>"),
        (HOST, ""),
        (PORT, 0),
        (PORT, 65_536),
        (PORT, -1),
        (SEQ, -1),
    ],
)
def test_a_field_out_of_its_bounds_is_refused(field: int, value: object) -> None:
    with pytest.raises((IdentityError, ProofError)):
        open_descriptor(_forge(field, value), NETWORK)


@pytest.mark.parametrize("value", [None, 1.5, [], "x", {}])
def test_a_field_of_another_type_is_refused(value: object) -> None:
    for field in (V, KEY, PORT, EXPIRES):
        with pytest.raises(DecodeError):
            open_descriptor(_forge(field, value), NETWORK)


def test_another_network_refuses_it() -> None:
    with pytest.raises(IdentityError, match="another network"):
        open_descriptor(GOOD.signed, make_network(name="other"))


def test_a_descriptor_is_refused_where_its_puzzles_are_too_easy() -> None:
    hard = make_network(c1=200)
    body = msgspec.msgpack.decode(GOOD.signed[:-64])
    body[NET] = hard.id
    data = msgspec.msgpack.encode(body)
    with pytest.raises(IdentityError, match="puzzle"):
        open_descriptor(data + IDENTITY.key.sign(DESCRIPTOR_TAG, data), hard)


@given(bit=st.integers(0, 8 * len(GOOD.signed) - 1))
@settings(max_examples=200)
def test_any_flipped_bit_is_refused(bit: int) -> None:
    data = bytearray(GOOD.signed)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(QisguardError):
        open_descriptor(bytes(data), NETWORK)


@given(data=st.binary(max_size=DESCRIPTOR_SIZE_MAX + 10))
def test_any_bytes_are_refused_with_a_clean_error(data: bytes) -> None:
    with pytest.raises(QisguardError):
        open_descriptor(data, NETWORK)


def test_an_encoding_with_longer_integers_is_refused() -> None:
    body = GOOD.signed[:-64]
    assert body[1] == 1
    longer = body[:1] + b"\xcc\x01" + body[2:]
    with pytest.raises(DecodeError, match="deterministic"):
        open_descriptor(longer + IDENTITY.key.sign(DESCRIPTOR_TAG, longer), NETWORK)


def test_a_descriptor_cannot_be_made_for_a_name() -> None:
    with pytest.raises(IdentityError):
        IDENTITY.describe(NETWORK, ("localhost", 4_000), seq=0, expires=DAY)


def test_one_key_cannot_do_two_jobs() -> None:
    lazy = replace(IDENTITY, log=IDENTITY.tls)
    with pytest.raises(IdentityError, match="four different keys"):
        lazy.describe(NETWORK, ("192.0.2.7", 1), seq=0, expires=DAY)


def test_an_ipv6_address_is_accepted_in_its_canonical_form() -> None:
    descriptor = IDENTITY.describe(NETWORK, ("2001:db8::1", 1), seq=0, expires=DAY)
    assert isinstance(descriptor, Descriptor)
    assert descriptor.address == ("2001:db8::1", 1)
