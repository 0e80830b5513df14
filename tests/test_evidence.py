"""Evidence of two histories: found by pairs of notes, verified by strangers, never made up."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.errors import DecodeError, ProofError, QisguardError
from qisguard.identity.keys import KeyPair
from qisguard.trail.checkpoint import LogKey, origin_of, sign_checkpoint
from qisguard.trail.evidence import (
    EVIDENCE_SIZE_MAX,
    Evidence,
    check_descriptor,
    convict,
    decode_evidence,
)
from tests.builders import DAY, NETWORK, make_identity, make_network

NODE = make_identity(0)
ORIGIN = origin_of(NETWORK.id, NODE.id)
KEY = LogKey(ORIGIN, NODE.log.public)
DESCRIPTOR = NODE.describe(NETWORK, ("192.0.2.1", 4_000), 1, DAY + 30).signed
A, B = (sign_checkpoint(ORIGIN, 9, bytes([n]) * 32, NODE.log).encode() for n in (1, 2))
PROOF = convict(KEY, A, B, DESCRIPTOR)


def test_a_stranger_verifies_the_file_offline() -> None:
    again = decode_evidence(PROOF.encode())
    assert again == PROOF
    assert [note.size for note in again.notes] == [9, 9]
    assert check_descriptor(again, NETWORK).id == NODE.id
    assert len(PROOF.name) == 64


def test_both_orders_of_the_notes_are_one_file() -> None:
    assert convict(KEY, B, A, DESCRIPTOR).encode() == PROOF.encode()


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (A, A, "one root"),
        (A, sign_checkpoint(ORIGIN, 10, bytes(32), NODE.log).encode(), "sizes"),
        (A, sign_checkpoint(ORIGIN + "x", 9, bytes(32), NODE.log).encode(), "a note of"),
        (A, sign_checkpoint(ORIGIN, 9, bytes(32), make_identity(1).log).encode(), "none of which"),
        (A, B.replace(b"AgICAgIC", b"AwICAgIC"), "does not verify"),
    ],
)
def test_notes_that_contradict_nothing_are_no_evidence(
    one: bytes, other: bytes, words: str
) -> None:
    with pytest.raises(ProofError, match=words):
        convict(KEY, one, other)


def test_a_key_made_up_for_somebody_elses_origin_frames_nobody() -> None:
    """The file verifies under the key that it names; the descriptor names another one."""
    forger = KeyPair.from_seed(b"f" * 32)
    one, two = (sign_checkpoint(ORIGIN, 9, bytes([n]) * 32, forger).encode() for n in (1, 2))
    forged = convict(LogKey(ORIGIN, forger.public), one, two, DESCRIPTOR)
    with pytest.raises(ProofError, match="names the key"):
        check_descriptor(decode_evidence(forged.encode()), NETWORK)
    with pytest.raises(ProofError, match="no descriptor"):
        check_descriptor(convict(forged.key, one, two), NETWORK)


def test_the_descriptor_of_somebody_else_is_refused() -> None:
    other = make_identity(1).describe(NETWORK, ("192.0.2.1", 4_000), 1, DAY + 30).signed
    with pytest.raises(ProofError, match="names the key"):
        check_descriptor(convict(KEY, A, B, other), NETWORK)
    with pytest.raises(QisguardError):
        check_descriptor(PROOF, make_network(name="another"))


def _edited(**change: object) -> bytes:
    fields = msgspec.json.decode(PROOF.encode()) | change
    return msgspec.json.encode(fields, order="deterministic")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        PROOF.encode() + b"\n",
        b" " + PROOF.encode(),
        PROOF.encode().replace(b'"v":1', b'"v":1,"v":1'),
        PROOF.encode().replace(b"\\n", b"\\u000a"),
        _edited(v=2),
        _edited(kind="silence"),
        _edited(first=B.decode(), second=A.decode()),
        _edited(first=A.decode(), second=A.decode()),
        _edited(more=1),
        _edited(descriptor=None),
        _edited(descriptor="!"),
        _edited(descriptor="A" * 2_000),
        _edited(vkey="x"),
        _edited(first=""),
        bytes(EVIDENCE_SIZE_MAX + 1),
    ],
)
def test_a_file_with_another_spelling_or_sense_is_refused(data: bytes) -> None:
    with pytest.raises(QisguardError):
        decode_evidence(data)


@given(seed=st.integers(0, 1 << 32))
def test_a_changed_file_is_refused_or_says_the_same(seed: int) -> None:
    """The descriptor is only looked at by ``check_descriptor``, which must then refuse."""
    rng = random.Random(seed)
    data = bytearray(PROOF.encode())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    try:
        read = decode_evidence(bytes(data))
    except QisguardError:
        return
    assert (read.key, read.first, read.second) == (PROOF.key, PROOF.first, PROOF.second)
    with pytest.raises(QisguardError):
        check_descriptor(read, NETWORK)


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_evidence(data)


def test_evidence_that_was_not_checked_is_still_only_bytes() -> None:
    """``Evidence`` made by hand proves nothing: its file does not decode."""
    with pytest.raises(ProofError):
        decode_evidence(Evidence(KEY, A, A).encode())
