"""Signatures that a simulated network made itself, and need not verify."""

import pytest

from qisguard.errors import ProofError
from qisguard.identity import keys
from qisguard.identity.keys import AUTH_TAG, PACKET_TAG, KeyPair
from qisguard.lab.demo.noted import NotedKey, Notes
from tests.builders import key_pair

BODY = b"what was signed"


def _noted(notes: Notes, pair: KeyPair) -> KeyPair:
    return notes._key(pair)


def test_a_noted_key_signs_as_the_key_does() -> None:
    pair = key_pair("a")
    signature = _noted(Notes(), pair).sign(AUTH_TAG, BODY)
    assert signature == pair.sign(AUTH_TAG, BODY)
    keys.verify(pair.public, AUTH_TAG, BODY, signature)


def test_what_a_noted_key_signed_holds_and_nothing_near_it_does() -> None:
    notes, pair = Notes(), key_pair("a")
    signature = _noted(notes, pair).sign(AUTH_TAG, BODY)
    notes.verify(pair.public, AUTH_TAG, BODY, signature)
    forged = bytes([signature[0] ^ 1]) + signature[1:]
    for attempt in (
        (key_pair("b").public, AUTH_TAG, BODY, signature),
        (pair.public, PACKET_TAG, BODY, signature),
        (pair.public, AUTH_TAG, BODY + b"!", signature),
        (pair.public, AUTH_TAG, BODY, forged),
    ):
        with pytest.raises(ProofError):
            notes.verify(*attempt)


def test_what_others_signed_is_verified_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    notes, pair = Notes(), key_pair("a")
    mine = _noted(notes, pair).sign(AUTH_TAG, BODY)
    verified: list[bytes] = []
    monkeypatch.setattr(keys, "verify", lambda *parts: verified.append(parts[3]))
    notes.verify(pair.public, AUTH_TAG, BODY, mine)
    other = key_pair("b").sign(AUTH_TAG, BODY)
    notes.verify(key_pair("b").public, AUTH_TAG, BODY, other)
    assert verified == [other]


def test_the_secret_half_and_the_notes_are_not_shown() -> None:
    assert repr(NotedKey(b"p", b"secret", set())) == "NotedKey(public=b'p')"
