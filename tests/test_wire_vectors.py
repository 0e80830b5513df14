"""The published vectors, read by a second implementation that shares no code with the node.

Everything below follows ``docs/spec/wire.md`` with ``hashlib``, ``struct``, PyNaCl and
``cryptography`` alone; only the tests of refusals ask the node itself.
"""

import ipaddress
import json
import struct
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.signing import SigningKey, VerifyKey

from qisguard.errors import DecodeError
from qisguard.node import messages
from qisguard.session import wire
from tests.vectors import make_wire

VECTORS: dict[str, Any] = json.loads(make_wire.FILE.read_text("utf-8"))
HANDSHAKE: dict[str, Any] = VECTORS["handshake"]
CLIENT, SERVER = VECTORS["client"], VECTORS["server"]


def _hex(name: str) -> bytes:
    return bytes.fromhex(HANDSHAKE[name])


def test_the_file_is_what_its_script_makes() -> None:
    assert make_wire.FILE.read_text("utf-8") == make_wire.make()
    assert Path(make_wire.FILE).name == "wire.json"


# --- the second implementation -------------------------------------------------------------------
@pytest.mark.parametrize("side", [CLIENT, SERVER], ids=["client", "server"])
def test_an_id_is_the_hash_of_the_key_that_signs(side: dict[str, Any]) -> None:
    key = SigningKey(bytes.fromhex(side["identity_seed"])).verify_key.encode()
    assert key.hex() == side["identity_key"]
    assert sha256(b"qisguard-id-v1" + key).hexdigest() == side["id"]
    descriptor = bytes.fromhex(side["descriptor"])
    VerifyKey(key).verify(b"qisguard/descriptor/v1\n" + descriptor[:-64], descriptor[-64:])


@pytest.mark.rule("W-02")
def test_the_hello_can_be_built_from_the_specification() -> None:
    public = crypto_scalarmult_base(_hex("client_ephemeral_secret"))
    assert blake2b(_hex("client_ephemeral_seed"), digest_size=32).digest() == _hex(
        "client_ephemeral_secret"
    )
    built = b"\x01\x01" + _hex("nonce") + public + bytes.fromhex(SERVER["id"])
    assert built.ljust(1_200, b"\0") == _hex("hello")


@pytest.mark.rule("W-05")
def test_the_cookie_can_be_built_from_the_specification() -> None:
    host, port = CLIENT["address"]
    where = ipaddress.ip_address(host).packed + struct.pack("!H", port)
    stamp = struct.pack("!Q", int(HANDSHAKE["now"] * 1_000))
    said = where + _hex("nonce") + _hex("client_ephemeral") + stamp
    mac = blake2b(said, key=_hex("cookie_key"), digest_size=32).digest()
    assert b"\x02\x01" + _hex("nonce") + stamp + mac == _hex("cookie")


@pytest.mark.rule("W-07")
def test_the_auth_can_be_built_from_the_specification() -> None:
    descriptor = bytes.fromhex(CLIENT["descriptor"])
    unsigned = (
        b"\x03\x01"
        + _hex("nonce")
        + _hex("client_ephemeral")
        + _hex("cookie")[18:]
        + _hex("nonce")[:8]
        + struct.pack("!H", len(descriptor))
        + descriptor
    )
    transcript = sha256(b"qisguard/auth/v1\n" + bytes.fromhex(SERVER["id"]) + unsigned).digest()
    assert transcript == _hex("auth_hash")
    signed = SigningKey(bytes.fromhex(CLIENT["identity_seed"])).sign(
        b"qisguard/auth/v1\n" + transcript
    )
    assert unsigned + signed.signature == _hex("auth")


@pytest.mark.rule("W-08")
def test_the_accept_can_be_built_from_the_specification() -> None:
    descriptor = bytes.fromhex(SERVER["descriptor"])
    unsigned = (
        b"\x04\x01"
        + _hex("client_session")
        + _hex("server_session")
        + crypto_scalarmult_base(_hex("server_ephemeral_secret"))
        + struct.pack("!H", len(descriptor))
        + descriptor
    )
    tag = b"qisguard/accept/v1\n"
    final = sha256(tag + _hex("auth_hash") + _hex("auth")[-64:] + unsigned).digest()
    assert final == _hex("accept_hash")
    signed = SigningKey(bytes.fromhex(SERVER["identity_seed"])).sign(tag + final)
    assert unsigned + signed.signature == _hex("accept")


def _keys(secret: bytes, other: bytes) -> tuple[bytes, bytes]:
    """Return the keys to the client and to the server, as either side computes them."""
    shared = crypto_scalarmult(secret, other)
    both = blake2b(shared + _hex("client_ephemeral") + _hex("server_ephemeral")).digest()
    to_client, to_server = (
        blake2b(_hex("accept_hash"), key=key, digest_size=32).digest()
        for key in (both[:32], both[32:])
    )
    assert (both[:32], both[32:]) == (_hex("kx_to_client"), _hex("kx_to_server"))
    return to_client, to_server


@pytest.mark.rule("W-10")
def test_both_sides_derive_the_published_keys() -> None:
    published = (_hex("key_to_client"), _hex("key_to_server"))
    assert _keys(_hex("client_ephemeral_secret"), _hex("server_ephemeral")) == published
    assert _keys(_hex("server_ephemeral_secret"), _hex("client_ephemeral")) == published


@pytest.mark.rule("W-24")
@pytest.mark.parametrize("case", VECTORS["sealed"], ids=lambda c: f"{c['to']} {c['counter']}")
def test_sealed_datagrams_open_under_the_published_keys(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["datagram"])
    kind, session, counter = struct.unpack_from("!B8sQ", data)
    assert (kind, session, counter) == (5, _hex(f"{case['to']}_session"), case["counter"])
    cipher = ChaCha20Poly1305(_hex(f"key_to_{case['to']}"))
    nonce = bytes(4) + data[9:17]
    assert cipher.decrypt(nonce, data[17:], data[:17]).hex() == case["plaintext"]
    with pytest.raises(InvalidTag):
        cipher.decrypt(nonce, data[17:], data[:16] + b"\xff")


def _shown(value: object) -> object:
    """Return MessagePack values as the vectors write them."""
    if isinstance(value, bytes):
        return "hex:" + value.hex()
    return [_shown(item) for item in value] if isinstance(value, list) else value


@pytest.mark.rule("W-31")
@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda c: str(c["name"]))
def test_messages_are_the_published_arrays(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    assert _shown(msgspec.msgpack.decode(data)) == case["fields"]
    message = messages.decode(data)
    assert type(message).__name__ == case["name"]
    assert messages.encode(message) == data


def test_there_is_a_published_message_of_every_kind() -> None:
    tags = [case["fields"][0] for case in VECTORS["messages"]]
    assert sorted(tags) == [*range(14), *range(16, 28)]


@pytest.mark.parametrize("case", VECTORS["records"], ids=lambda c: str(c["kind"]))
@pytest.mark.rule("W-36")
def test_records_are_signed_as_specified(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["bytes"])
    body, signature = data[:-64], data[-64:]
    version, where, provider, expires, seq = msgspec.msgpack.decode(body)
    assert (version, where.hex(), provider.hex()) == (1, case["where"], case["provider"])
    assert (expires, seq) == (case["expires"], case["seq"])
    name = {"provider": b"provider", "index": b"index"}[case["kind"]]
    tag = b"qisguard/" + name + b"-record/v1\n"
    VerifyKey(provider).verify(tag + bytes.fromhex(VECTORS["network_id"]) + body, signature)
    assert len(data) <= 160
    if case["kind"] == "index":
        assert sha256(b"qisguard-index-v1" + where[:1]).hexdigest() == case["lies_at"]


# --- what must be refused ------------------------------------------------------------------------
@pytest.mark.rule("W-01")
@pytest.mark.parametrize("case", VECTORS["reject"]["datagrams"], ids=lambda c: str(c["name"]))
def test_published_malformed_datagrams_are_refused(case: dict[str, Any]) -> None:
    assert case["error"] == "DecodeError"
    with pytest.raises(DecodeError):
        wire.decode(bytes.fromhex(case["datagram"]))


@pytest.mark.rule("W-32")
@pytest.mark.parametrize("case", VECTORS["reject"]["messages"], ids=lambda c: str(c["name"]))
def test_published_malformed_messages_are_refused(case: dict[str, Any]) -> None:
    assert case["error"] == "DecodeError"
    with pytest.raises(DecodeError):
        messages.decode(bytes.fromhex(case["plaintext"]))


@pytest.mark.rule("W-03")
def test_published_handshakes_out_of_place_open_nothing() -> None:
    """The script raises unless each is refused; here their reasons are held fast."""
    reasons = {case["name"]: case["reason"] for case in VECTORS["reject"]["handshake"]}
    assert len(reasons) == 14
    assert set(reasons.values()) == {
        "dropped: hello for another node",
        "dropped: cookie of another",
        "dropped: cookie too old",
        "dropped: ProofError",
        "dropped: IdentityError",
        "dropped: accept nobody asked for",
    }
    assert {c["reason"] for c in VECTORS["reject"]["session"]} == {
        "dropped: replayed or stale counter",
        "dropped: seal broken",
        "dropped: no such session",
    }
