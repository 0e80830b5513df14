"""The vectors of docs/spec: made by their script, agreed to by an independent reader, and obeyed.

The reader below shares no code with ours: hashlib, MessagePack and base64url by hand, signatures
through PyNaCl's own interface, Argon2id through OpenSSL.
"""

import json
from base64 import urlsafe_b64decode
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from nacl.signing import VerifyKey

from qisguard import errors
from qisguard.errors import QisguardError
from qisguard.identity.descriptor import open_descriptor
from qisguard.identity.ids import NodeId, from_bytes, node_id, to_bytes
from qisguard.identity.keys import check_enrollable, from_text, to_text
from qisguard.identity.network import open_network, seal_network
from qisguard.identity.puzzle import Argon2id as Cost
from qisguard.identity.puzzle import dynamic_bits, static_bits
from tests.vectors.make_identity import AUTHORITY, FIELDS, FILE, make

VECTORS = json.loads(FILE.read_bytes())
PUBLIC = bytes.fromhex(VECTORS["authority"])
NETWORK_FIELDS = ["v", "name", "authority", "epoch", "c1", "c2", "puzzle", "memory", "passes"]

Case = dict[str, Any]


def _cases(kind: str, *, refused: bool) -> list[Any]:
    cases = [case for case in VECTORS[kind] if (case["error"] is not None) == refused]
    return [pytest.param(case, id=case["name"]) for case in cases]


# --- an independent reader -----------------------------------------------------------------------
def _text(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _zeros(digest: bytes) -> int:
    bits = "".join(f"{byte:08b}" for byte in digest)
    return len(bits) - len(bits.lstrip("0"))


def _read_network(file: str) -> Case:
    """Return the fields of a network file, with its id."""
    body, signature, rest = file.split("\n")
    assert rest == ""
    VerifyKey(PUBLIC).verify(b"qisguard/network/v1\n" + body.encode(), _text(signature))
    fields: Case = json.loads(body)
    assert list(fields) == NETWORK_FIELDS[: len(fields)]
    identifier = sha256(b"qisguard-net-v1" + PUBLIC + fields["name"].encode()).digest()
    return fields | {"id": identifier, "epoch": _text(fields["epoch"])}


def _read_item(data: bytes) -> tuple[Any, bytes]:
    """Return one MessagePack item in its shortest form, and what follows it."""
    head, rest = data[0], data[1:]
    if head < 0x80:
        return head, rest
    if 0xA0 <= head <= 0xBF:
        return rest[: head - 0xA0].decode(), rest[head - 0xA0 :]
    if head in (0xC4, 0xD9):
        size = rest[0]
        content = rest[1 : 1 + size]
        return content if head == 0xC4 else content.decode(), rest[1 + size :]
    size = {0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}[head]
    value = int.from_bytes(rest[:size], "big")
    assert value >= (0x80 if size == 1 else 1 << 4 * size)
    return value, rest[size:]


def _read_descriptor(data: bytes) -> Case:
    body, signature = data[:-64], data[-64:]
    assert body[0] == 0x90 + len(FIELDS)
    values, rest = [], body[1:]
    for _ in FIELDS:
        value, rest = _read_item(rest)
        values.append(value)
    assert rest == b""
    fields = dict(zip(FIELDS, values, strict=True))
    VerifyKey(fields["key"]).verify(b"qisguard/descriptor/v1\n" + body, signature)
    return fields


def _dynamic(form: str, bound: bytes, x: bytes, memory: int | None, passes: int | None) -> int:
    if form == "sha256":
        return _zeros(sha256(b"qisguard-dyn-v1" + bound + x).digest())
    assert memory is not None
    assert passes is not None
    kdf = Argon2id(salt=x, length=32, iterations=passes, lanes=1, memory_cost=memory)
    return _zeros(kdf.derive(b"qisguard-dyn-argon2id-v1" + bound))


# --- the file ------------------------------------------------------------------------------------
def test_the_file_is_what_its_script_makes() -> None:
    assert FILE.read_bytes() == make()


@pytest.mark.parametrize("kind", ["keys", "network_files", "descriptors"])
def test_there_are_cases_of_both_kinds_and_no_two_share_a_name(kind: str) -> None:
    names = [case["name"] for case in VECTORS[kind]]
    assert len(set(names)) == len(names)
    assert _cases(kind, refused=False)
    assert len(_cases(kind, refused=True)) >= 8


def test_every_refusal_names_a_class_of_the_error_tree() -> None:
    for kind in ("keys", "network_files", "descriptors"):
        for case in VECTORS[kind]:
            if case["error"] is not None:
                assert issubclass(getattr(errors, case["error"]), QisguardError)


# --- ids, keys, puzzles --------------------------------------------------------------------------
@pytest.mark.rule("ID-01")
@pytest.mark.parametrize("case", VECTORS["node_ids"])
def test_a_node_id_is_a_hash_of_the_key(case: Case) -> None:
    key, identifier = bytes.fromhex(case["key"]), bytes.fromhex(case["id"])
    assert sha256(b"qisguard-id-v1" + key).digest() == identifier == _text(case["text"])
    assert to_bytes(node_id(key)) == identifier
    assert to_text(identifier) == case["text"]
    assert from_text(case["text"], 32) == identifier


@pytest.mark.rule("ID-04")
@pytest.mark.parametrize("case", VECTORS["keys"], ids=lambda case: case["name"])
def test_only_keys_of_the_prime_order_group_can_be_enrolled(case: Case) -> None:
    key = bytes.fromhex(case["key"])
    if case["error"] is None:
        check_enrollable(key)
    else:
        with pytest.raises(getattr(errors, case["error"])):
            check_enrollable(key)


@pytest.mark.rule("ID-08")
@pytest.mark.parametrize("case", VECTORS["static_puzzles"])
def test_the_static_puzzle_counts_zero_bits_of_the_hash_of_the_id(case: Case) -> None:
    identifier = bytes.fromhex(case["id"])
    assert _zeros(sha256(identifier).digest()) == case["bits"]
    assert static_bits(from_bytes(identifier)) == case["bits"]


@pytest.mark.rule("ID-10")
@pytest.mark.parametrize("case", VECTORS["dynamic_puzzles"])
def test_the_dynamic_puzzle_hashes_network_epoch_id_and_solution(case: Case) -> None:
    network, epoch, identifier, x = (
        bytes.fromhex(case[name]) for name in ("network", "epoch", "id", "solution")
    )
    bound = network + epoch + identifier
    assert _dynamic(case["form"], bound, x, case["memory"], case["passes"]) == case["bits"]
    cost = Cost(case["memory"], case["passes"]) if case["form"] == "argon2id" else None
    assert dynamic_bits(network, epoch, from_bytes(identifier), x, cost) == case["bits"]


# --- network files -------------------------------------------------------------------------------
@pytest.mark.rule("ID-06")
@pytest.mark.parametrize("case", _cases("network_files", refused=False))
def test_a_network_file_means_the_same_to_an_independent_reader(case: Case) -> None:
    fields = _read_network(case["file"])
    network = open_network(case["file"].encode(), PUBLIC)
    assert network.id == fields["id"] == bytes.fromhex(case["id"])
    assert (network.name, network.epoch) == (fields["name"], fields["epoch"])
    assert (network.c1, network.c2) == (fields["c1"], fields["c2"])
    cost = Cost(fields["memory"], fields["passes"]) if "memory" in fields else None
    assert (network.puzzle, network.cost) == (fields["puzzle"], cost)
    assert seal_network(network, AUTHORITY).decode() == case["file"]


@pytest.mark.rule("ID-05")
@pytest.mark.rule("ID-07")
@pytest.mark.parametrize("case", _cases("network_files", refused=True))
def test_a_network_file_that_breaks_a_rule_is_refused(case: Case) -> None:
    with pytest.raises(QisguardError) as refusal:
        open_network(case["file"].encode(), PUBLIC)
    assert type(refusal.value).__name__ == case["error"]


# --- descriptors ---------------------------------------------------------------------------------
@pytest.mark.rule("ID-11")
@pytest.mark.parametrize("case", _cases("descriptors", refused=False))
def test_a_descriptor_means_the_same_to_an_independent_reader(case: Case) -> None:
    data = bytes.fromhex(case["data"])
    fields, network = _read_descriptor(data), _read_network(case["network"])
    held = {name: v.hex() if isinstance(v, bytes) else v for name, v in fields.items()}
    assert held == case["fields"]
    identifier = sha256(b"qisguard-id-v1" + fields["key"]).digest()
    assert identifier.hex() == case["id"]
    assert fields["network"] == network["id"]
    assert _zeros(sha256(identifier).digest()) >= network["c1"]
    bound = network["id"] + network["epoch"] + identifier
    cost = (network.get("memory"), network.get("passes"))
    assert _dynamic(network["puzzle"], bound, fields["solution"], *cost) >= network["c2"]
    assert 0 <= fields["expires"] - case["today"] <= 400

    opened = open_descriptor(data, open_network(case["network"].encode(), PUBLIC))
    opened.check_day(case["today"])
    assert opened.id == NodeId(int(case["id"], 16))
    assert opened.address == (fields["host"], fields["port"])
    keys = (opened.key, opened.tls_key, opened.log_key, opened.witness_key)
    assert keys == tuple(fields[f"{name}key"] for name in ("", "tls_", "log_", "witness_"))
    assert (opened.seq, opened.expires) == (fields["seq"], fields["expires"])
    assert opened.signed == data


@pytest.mark.rule("ID-12")
@pytest.mark.rule("ID-13")
@pytest.mark.rule("ID-14")
@pytest.mark.rule("ID-15")
@pytest.mark.parametrize("case", _cases("descriptors", refused=True))
def test_a_descriptor_that_breaks_a_rule_is_refused(case: Case) -> None:
    network = open_network(case["network"].encode(), PUBLIC)
    with pytest.raises(QisguardError) as refusal:
        open_descriptor(bytes.fromhex(case["data"]), network).check_day(case["today"])
    assert type(refusal.value).__name__ == case["error"]
