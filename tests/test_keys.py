"""Signatures: third-party vectors, one purpose each, and which keys may be enrolled."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError, IdentityError, ProofError
from qisguard.identity import keys
from qisguard.identity.keys import KeyPair, check_enrollable, from_text, to_text, verify

VECTORS = os.environ.get("QISGUARD_VECTORS")
needs_vectors = pytest.mark.skipif(not VECTORS, reason="QISGUARD_VECTORS names no folder")
TAGS = [getattr(keys, name) for name in dir(keys) if name.endswith("_TAG")]
KEY = KeyPair.from_seed(b"\x01" * 32)
P = 2**255 - 19
SMALL_ORDER = [0, 1, P - 1, P, P + 1]
"""y-coordinates of order 4, 1 and 2, and encodings of 0 and 1 that are not canonical."""


def _vectors(path: str) -> Any:
    return json.loads((Path(VECTORS or "") / path).read_text())


@needs_vectors
def test_rfc_8032_seeds_give_its_keys_and_signatures() -> None:
    cases = _vectors("rfc8032/rfc8032-7.1.json")
    assert len(cases) >= 4
    for case in cases:
        pair = KeyPair.from_seed(bytes.fromhex(case["sk"]))
        assert pair.public.hex() == case["pk"]
        assert pair.sign(b"", bytes.fromhex(case["msg"])).hex() == case["sig"]


@needs_vectors
def test_wycheproof_signatures_verify_exactly_when_it_says_so() -> None:
    count = 0
    for group in _vectors("wycheproof-ed25519/ed25519_test.json")["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            count += 1
            try:
                verify(public, b"", bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
                verdict = "valid"
            except ProofError:
                verdict = "invalid"
            assert verdict == case["result"], case["tcId"]
    assert count == 151


def test_a_signature_for_one_purpose_never_verifies_for_another() -> None:
    for made in TAGS:
        for asked in TAGS:
            signature = KEY.sign(made, b"body")
            if made == asked:
                verify(KEY.public, asked, b"body", signature)
            else:
                with pytest.raises(ProofError):
                    verify(KEY.public, asked, b"body", signature)


def test_no_tag_is_a_prefix_of_another() -> None:
    assert len(TAGS) >= 7
    assert not any(a != b and a.startswith(b) for a in TAGS for b in TAGS)


@given(body=st.binary(max_size=64), bit=st.integers(0, 511))
def test_a_flipped_bit_in_a_signature_is_refused(body: bytes, bit: int) -> None:
    signature = bytearray(KEY.sign(keys.PACKET_TAG, body))
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProofError):
        verify(KEY.public, keys.PACKET_TAG, body, bytes(signature))


@pytest.mark.parametrize(("public", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_sizes_are_refused_before_any_arithmetic(public: int, signature: int) -> None:
    with pytest.raises(ProofError):
        verify(bytes(public), b"", b"", bytes(signature))


@pytest.mark.parametrize("y", SMALL_ORDER)
@pytest.mark.parametrize("sign", [0, 1])
def test_points_outside_the_prime_order_group_cannot_be_enrolled(y: int, sign: int) -> None:
    with pytest.raises(IdentityError):
        check_enrollable((y | sign << 255).to_bytes(32, "little"))


def test_an_encoding_that_is_not_canonical_cannot_be_enrolled() -> None:
    for y in range(19):
        with pytest.raises(IdentityError):
            check_enrollable((P + y).to_bytes(32, "little"))
    check_enrollable(KEY.public)


def test_the_secret_half_is_not_shown() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)


@given(data=st.binary(max_size=70))
def test_base64url_round_trips(data: bytes) -> None:
    assert from_text(to_text(data), len(data)) == data


@pytest.mark.parametrize("text", ["AB", "AA==", "A", "A A", "+/", "é", "\ud800", "AA\n"])
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    with pytest.raises(DecodeError):
        from_text(text, 1)
