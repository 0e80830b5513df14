"""Node ids: the XOR metric, the wire form, and where records live."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError
from qisguard.identity.ids import (
    ID_BITS,
    NodeId,
    from_bytes,
    node_id,
    placement,
    shared_prefix,
    short,
    to_bytes,
)

ids = st.integers(0, 2**ID_BITS - 1).map(NodeId)


@given(a=ids, b=ids, c=ids)
def test_xor_is_a_metric_with_one_point_at_each_distance(a: NodeId, b: NodeId, c: NodeId) -> None:
    assert (a ^ b == 0) == (a == b)
    assert a ^ b == b ^ a
    assert a ^ c <= (a ^ b) + (b ^ c)
    assert (a ^ b == a ^ c) == (b == c)


@given(identifier=ids)
def test_the_wire_form_round_trips(identifier: NodeId) -> None:
    assert from_bytes(to_bytes(identifier)) == identifier
    assert len(to_bytes(identifier)) == 32
    assert len(short(identifier)) == 8


@pytest.mark.parametrize("size", [0, 31, 33])
def test_an_id_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(DecodeError):
        from_bytes(bytes(size))


@given(a=ids, b=ids)
def test_shared_prefix_counts_the_equal_leading_bits(a: NodeId, b: NodeId) -> None:
    texts = f"{a:0256b}", f"{b:0256b}"
    equal = next((i for i in range(ID_BITS) if texts[0][i] != texts[1][i]), ID_BITS)
    assert shared_prefix(a, b) == equal


def test_an_id_is_the_tagged_hash_of_the_identity_key() -> None:
    assert to_bytes(node_id(b"k" * 32)) == sha256(b"qisguard-id-v1" + b"k" * 32).digest()


def test_keys_of_one_domain_are_placed_far_apart() -> None:
    places = [placement(b"\x07" + index.to_bytes(31, "big")) for index in range(64)]
    assert len({place >> (ID_BITS - 8) for place in places}) > 32
