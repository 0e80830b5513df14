"""Descriptors: signed, expiring, of one network, and never re-encoded."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError, QisguardError
from qisguard.fill import INTEGER_MAX
from qisguard.identity import keys
from qisguard.identity.descriptor import (
    DESCRIPTOR_SIZE_MAX,
    VALIDITY_DAYS_MAX,
    Descriptor,
    open_descriptor,
    renewal_day,
)
from qisguard.identity.ids import NodeId
from qisguard.identity.keys import DESCRIPTOR_TAG
from qisguard.identity.puzzle import PuzzleForm, dynamic_bits
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


@pytest.mark.rule("ID-16")
def test_every_flipped_bit_is_refused() -> None:
    for bit in range(8 * len(GOOD.signed)):
        data = bytearray(GOOD.signed)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(QisguardError):
            open_descriptor(bytes(data), NETWORK)


@pytest.mark.rule("ID-16")
def test_every_truncation_at_either_end_is_refused() -> None:
    for size in range(len(GOOD.signed)):
        for data in (GOOD.signed[:size], GOOD.signed[-size or len(GOOD.signed) :]):
            with pytest.raises(QisguardError):
                open_descriptor(data, NETWORK)


def _is_unicast(address: IPv4Address | IPv6Address) -> bool:
    is_mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    return not (address.is_multicast or address.is_unspecified or is_mapped)


hosts = st.ip_addresses().map(lambda a: str(a) if _is_unicast(a) else "192.0.2.1")


@given(
    host=hosts,
    port=st.integers(1, 65_535),
    seq=st.integers(0, INTEGER_MAX),
    expires=st.integers(0, INTEGER_MAX),
    data=st.data(),
)
@settings(max_examples=100)
def test_any_descriptor_round_trips_and_no_flip_or_cut_of_it_is_accepted(
    host: str, port: int, seq: int, expires: int, data: st.DataObject
) -> None:
    made = IDENTITY.describe(NETWORK, (host, port), seq, expires)
    assert (made.address, made.seq, made.expires) == ((host, port), seq, expires)
    assert len(made.signed) <= DESCRIPTOR_SIZE_MAX
    bit = data.draw(st.integers(0, 8 * len(made.signed) - 1), label="bit")
    flipped = bytearray(made.signed)
    flipped[bit // 8] ^= 1 << bit % 8
    cut = made.signed[: data.draw(st.integers(0, len(made.signed) - 1), label="size")]
    for wrong in (bytes(flipped), cut, made.signed + b"\x00"):
        with pytest.raises(QisguardError):
            open_descriptor(wrong, NETWORK)


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


@pytest.mark.rule("ID-02")
def test_a_signature_for_any_other_purpose_is_refused() -> None:
    tags = [getattr(keys, name) for name in dir(keys) if name.endswith("_TAG")]
    assert len(set(tags)) >= 7
    assert not any(a != b and a.startswith(b) for a in tags for b in tags)
    body = GOOD.signed[:-64]
    for tag in tags:
        signed = body + IDENTITY.key.sign(tag, body)
        if tag == DESCRIPTOR_TAG:
            assert open_descriptor(signed, NETWORK) == GOOD
        else:
            with pytest.raises(ProofError):
                open_descriptor(signed, NETWORK)


# --- the order of checks -------------------------------------------------------------------------
DEAR = msgspec.structs.replace(
    make_network(c1=2, c2=4), puzzle=PuzzleForm.ARGON2ID, memory=1_024, passes=1
)
PAID = make_identity(2, DEAR)
PAID_GOOD = PAID.describe(DEAR, ("192.0.2.7", 4_000), seq=3, expires=DAY)


def _spoilt() -> Iterator[bytes]:
    """Yield descriptors that are wrong in one way each; the last has a forged signature alone."""
    fields = msgspec.msgpack.decode(PAID_GOOD.signed[:-64])
    for field, value in (
        (V, 2),
        (NET, b"n" * 32),
        (TLS, fields[KEY]),
        (TLS, bytes(32)),
        (HOST, "x"),
        (PORT, 0),
        (SEQ, -1),
        (EXPIRES, -1),
        (SOLUTION, b""),
    ):
        body = msgspec.msgpack.encode([*fields[:field], value, *fields[field + 1 :]])
        yield body + PAID.key.sign(DESCRIPTOR_TAG, body)
    body = PAID_GOOD.signed[:-64]
    yield body + IDENTITY.key.sign(DESCRIPTOR_TAG, body)


@pytest.mark.rule("ID-17")
def test_no_forgery_costs_an_argon2id_evaluation() -> None:
    asked: list[NodeId] = []

    def may_pay(identifier: NodeId) -> bool:
        asked.append(identifier)
        return True

    for data in _spoilt():
        with pytest.raises((IdentityError, ProofError)):
            open_descriptor(data, DEAR, may_pay)
    assert asked == []
    assert open_descriptor(PAID_GOOD.signed, DEAR, may_pay) == PAID_GOOD
    assert asked == [PAID.id]


@pytest.mark.rule("ID-17")
def test_the_argon2id_puzzle_is_the_last_check() -> None:
    """With more memory than libsodium allows an evaluation raises: nothing spoilt gets that far."""
    impossible = msgspec.structs.replace(DEAR, memory=1 << 33)
    for data in _spoilt():
        with pytest.raises((IdentityError, ProofError)) as refusal:
            open_descriptor(data, impossible)
        assert "Argon2id" not in str(refusal.value)
    with pytest.raises(IdentityError, match="Argon2id"):
        open_descriptor(PAID_GOOD.signed, impossible)


def test_an_id_without_a_budget_is_refused_before_the_evaluation() -> None:
    impossible = msgspec.structs.replace(DEAR, memory=1 << 33)
    with pytest.raises(IdentityError, match="budget"):
        open_descriptor(PAID_GOOD.signed, impossible, lambda identifier: False)


def test_a_wrong_argon2id_solution_under_a_good_signature_is_refused() -> None:
    easy = msgspec.structs.replace(DEAR, c2=0)
    for last in range(40):
        thief = replace(PAID, solution=bytes(15) + bytes([last]))
        data = thief.describe(easy, ("192.0.2.7", 1), 0, DAY).signed
        bits = _bits_of(thief.solution)
        if bits >= DEAR.c2:
            assert open_descriptor(data, DEAR).id == PAID.id
        else:
            with pytest.raises(IdentityError, match=f"dynamic puzzle: {bits} bits, at least 4"):
                open_descriptor(data, DEAR)


def _bits_of(solution: bytes) -> int:
    return dynamic_bits(DEAR.id, DEAR.epoch, PAID.id, solution, DEAR.cost)


# --- validity and renewal ------------------------------------------------------------------------
@pytest.mark.rule("ID-18")
def test_validity_is_bounded_in_both_directions() -> None:
    GOOD.check_day(DAY - VALIDITY_DAYS_MAX)
    with pytest.raises(IdentityError, match="401 days after today, must be at most 400"):
        GOOD.check_day(DAY - VALIDITY_DAYS_MAX - 1)
    with pytest.raises(IdentityError, match=f"expired on day {DAY}, today is {DAY + 1}"):
        GOOD.check_day(DAY + 1)


@pytest.mark.rule("ID-19")
@pytest.mark.parametrize(
    ("issued", "expires", "day"),
    [(100, 130, 120), (100, 500, 366), (100, 101, 100), (100, 102, 101), (100, 100, 100)],
)
def test_it_is_renewed_after_two_thirds_of_its_days(issued: int, expires: int, day: int) -> None:
    assert renewal_day(issued, expires) == day


@given(issued=st.integers(0, 40_000), days=st.integers(-5, VALIDITY_DAYS_MAX))
def test_a_renewal_is_due_within_the_validity(issued: int, days: int) -> None:
    due = renewal_day(issued, issued + days)
    assert issued <= due <= max(issued + days, issued)
    assert days < 0 or 3 * (due - issued) <= 2 * days < 3 * (due - issued + 1)


@pytest.mark.rule("ID-19")
def test_each_renewal_has_the_next_sequence_number() -> None:
    last = GOOD
    for step in range(1, 4):
        moved = ("192.0.2.8", 4_000 + step)
        last = IDENTITY.renew(NETWORK, moved, DAY + step, last)
        assert (last.seq, last.address, last.expires) == (GOOD.seq + step, moved, DAY + step)
        assert open_descriptor(last.signed, NETWORK) == last


def test_nobody_renews_the_descriptor_of_another() -> None:
    with pytest.raises(IdentityError, match="another identity"):
        make_identity(2).renew(NETWORK, GOOD.address, DAY, GOOD)


def test_a_sequence_that_is_used_up_cannot_be_renewed() -> None:
    last = IDENTITY.describe(NETWORK, GOOD.address, INTEGER_MAX, DAY)
    with pytest.raises(IdentityError, match="sequence"):
        IDENTITY.renew(NETWORK, GOOD.address, DAY, last)
