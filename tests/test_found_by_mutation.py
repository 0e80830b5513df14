"""What only a mutation showed to be untested; each belongs to one entry of the list."""

import pytest
from cryptography.exceptions import InvalidTag
from nacl.bindings import crypto_kx_seed_keypair

from qisguard.errors import ProofError
from qisguard.identity.ids import placement
from qisguard.identity.keys import verify
from qisguard.node import messages
from qisguard.node.lookup import Lookup
from qisguard.node.routing import Contact
from qisguard.session.channel import nonce_of
from qisguard.session.transcript import client_ciphers, server_ciphers
from qisguard.store.record import open_index, open_record
from tests.builders import (
    NETWORK,
    make_contact,
    make_identity,
    make_key,
    make_node,
    make_record,
    make_stranger,
)


def test_hearsay_in_a_look_up_does_not_move_a_contact_that_is_known() -> None:
    liar, honest = make_contact(1), make_contact(6)
    lookup = Lookup(make_contact(0).id, [liar, honest], count=4, alpha=1)
    assert lookup.queries_to_send() == [liar]
    lookup.handle_nodes(liar.id, [Contact(honest.id, ("192.0.2.66", 666))])
    assert lookup.queries_to_send() == [honest]


def test_a_peer_cannot_answer_what_another_was_asked() -> None:
    node, asked, other = make_node(0), make_stranger(1), make_stranger(2)
    for stranger in (asked, other):
        stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    operation = node.find(placement(make_key(0)), 0.0)
    for number in range(1, 5):
        other.say(node, messages.encode(messages.Nodes(number, [])), 0.0)
    assert node.counts["dropped: reply nobody asked for"] == 3, "one of two requests was its own"
    assert node.is_busy, f"operation {operation} waits for the peer that it asked"


def test_session_keys_depend_on_the_transcript_that_both_signed() -> None:
    (public, secret), (server, hidden) = (crypto_kx_seed_keypair(bytes([n]) * 32) for n in (1, 2))
    _, sender = client_ciphers(public, secret, server, b"one transcript")
    receiver, _ = server_ciphers(server, hidden, public, b"one transcript")
    sealed = sender.encrypt(nonce_of(0), b"hello", None)
    assert receiver.decrypt(nonce_of(0), sealed, None) == b"hello"
    elsewhere, _ = server_ciphers(server, hidden, public, b"another transcript")
    with pytest.raises(InvalidTag):
        elsewhere.decrypt(nonce_of(0), sealed, None)


def test_a_provider_record_is_no_index_record_although_both_have_one_form() -> None:
    data = make_record(make_identity(1)).data
    assert open_record(data, NETWORK.id, verify).data == data
    with pytest.raises(ProofError, match="does not verify"):
        open_index(data, NETWORK.id, verify)
