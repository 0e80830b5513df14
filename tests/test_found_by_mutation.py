"""What only a mutation showed to be untested; each belongs to one entry of the list."""

import asyncio

import pytest
from cryptography.exceptions import InvalidTag
from nacl.bindings import crypto_kx_seed_keypair

from qisguard.config import NodeConfig
from qisguard.errors import ProofError
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.keys import verify
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.lookup import QUERIES_MAX, QUERIES_PER_SIBLING, Lookup
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.node.operations import LATE, roster_replicas, take
from qisguard.session.channel import nonce_of
from qisguard.session.transcript import client_ciphers, server_ciphers
from qisguard.store.memory import MemoryStore
from qisguard.store.record import index_place, open_index, open_record, sign_index
from tests.builders import (
    DAY,
    LIMITS,
    NETWORK,
    make_contact,
    make_crowd,
    make_engine,
    make_identity,
    make_key,
    make_node,
    make_packet,
    make_record,
    make_roster,
    make_stranger,
    publish,
    retrieve,
)


# --- look-ups and requests -----------------------------------------------------------------------
def test_hearsay_in_a_look_up_does_not_move_a_contact_that_is_known() -> None:
    liar, honest = make_contact(1), make_contact(6)
    lookup = Lookup(make_contact(0).id, [liar, honest], count=4, alpha=1)
    assert lookup.queries_to_send() == [liar]
    lookup.handle_nodes(liar.id, [Contact(honest.id, ("192.0.2.66", 666))])
    assert lookup.queries_to_send() == [honest]


def test_a_path_that_is_told_of_ever_nearer_contacts_asks_a_bounded_number() -> None:
    count, nearest = 4, 1_000_000
    lookup = Lookup(NodeId(0), [make_contact(nearest)], count=count, alpha=1)
    most = QUERIES_MAX + QUERIES_PER_SIBLING * count
    for _ in range(most):
        (asked,) = lookup.queries_to_send()
        nearest -= 1
        lookup.handle_nodes(asked.id, [make_contact(nearest)])
    assert lookup.queries_to_send() == []
    assert lookup.done


def test_the_answer_of_a_peer_that_is_late_still_counts() -> None:
    slow = make_contact(1)
    lookup = Lookup(NodeId(0), [slow], count=4, alpha=1)
    assert lookup.queries_to_send() == [slow]
    take(lookup, slow.id, LATE)
    assert not lookup.done
    take(lookup, slow.id, messages.Nodes(1, []))
    assert lookup.closest() == [slow]


def test_a_peer_cannot_answer_what_another_was_asked() -> None:
    node, asked, other = make_node(0), make_stranger(1), make_stranger(2)
    for stranger in (asked, other):
        stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    operation = node.find(placement(make_key(0)), 0.0)
    for number in range(1, 5):
        other.say(node, messages.encode(messages.Nodes(number, [])), 0.0)
    assert node.counts["dropped: reply nobody asked for"] == 3, "one of two requests was its own"
    assert node.is_busy, f"operation {operation} waits for the peer that it asked"


# --- sessions and records ------------------------------------------------------------------------
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


# --- what a node serves --------------------------------------------------------------------------
def test_a_node_takes_index_records_only_for_domains_that_it_keeps() -> None:
    """One replica a place, two nodes: the nearer one keeps a domain."""
    node = make_node(0, config=NodeConfig(replica_count=1, replica_slack=1.0))
    stranger = make_stranger(1)
    nearer = set()
    for index in range(12):
        key = make_key(index)
        record = sign_index(key, stranger.identity.key, 60, 1, NETWORK.id)
        request = messages.Announce(index, record.data)
        (answer,) = stranger.say(node, messages.encode(request), 0.0)
        is_nearer = node.me.id ^ index_place(key[0]) < stranger.identity.id ^ index_place(key[0])
        nearer.add(is_nearer)
        assert isinstance(messages.decode(answer), messages.Stored) == is_nearer
    assert nearer == {True, False}


def test_a_record_may_expire_as_much_too_late_as_clocks_may_differ_and_no_later() -> None:
    node, stranger = make_node(0), make_stranger(1)
    latest = int(node.config.record_lifetime + node.config.clock_tolerance)

    def store(expires: int) -> object:
        record = make_record(stranger.identity, expires=expires)
        request = messages.Store(1, record.data, [])
        return messages.decode(stranger.say(node, messages.encode(request), 0.0)[-1])

    assert store(latest) == messages.Stored(1, [])
    assert store(latest + 1) == messages.Refused(1, "record: expires too late")


def test_strangers_from_many_networks_leave_room_for_those_on_the_roster() -> None:
    member = make_stranger(5)
    roster = make_roster([member.identity])
    node = make_node(0, config=NodeConfig(providers_per_key_max=2), roster=roster)

    def store(stranger: Stranger) -> object:
        request = messages.Store(1, make_record(stranger.identity).data, [])
        return messages.decode(stranger.say(node, messages.encode(request), 0.0)[-1])

    assert store(make_stranger(1)) == store(make_stranger(2)) == messages.Stored(1, [])
    assert store(make_stranger(3)) == messages.Refused(1, "key full")
    assert store(member) == messages.Stored(1, [])


# --- what a node asks for ------------------------------------------------------------------------
def test_however_near_its_nodes_are_an_issuer_keeps_no_more_copies_than_its_share() -> None:
    roster = make_roster([make_identity(index) for index in range(12)], per_issuer=6)
    for index in range(8):
        chosen = roster_replicas(roster, placement(make_key(index)), 6, 2)
        issuers = [roster.by_node[identifier].name for identifier in chosen]
        assert sorted(issuers) == ["hospital-0", "hospital-0", "hospital-1", "hospital-1"]


class _Repeats:
    """Answers each request for a page with the first one, and promises more."""

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """See ``Behaviour``."""
        if isinstance(request, messages.ListPackets):
            return messages.Listing(honest.number, [(make_packet().digest, DAY)], True)
        return honest

    def act(self, node: Node, now: float) -> float | None:
        """See ``Behaviour``."""
        return None


def test_a_replica_that_repeats_a_page_speaks_once_and_is_found_out() -> None:
    async def story() -> None:
        engine = make_engine(1)
        config = NodeConfig(k=4, replica_count=4, packets_per_key_max=16)
        nodes = await make_crowd(engine, 4, config)
        await publish(engine, nodes[0], [make_packet()])
        nodes[1].corrupt(_Repeats())
        (found,) = await retrieve(engine, nodes[2], 0)
        assert found.first_seen == {make_packet().digest: [DAY] * 4}
        assert found.refused == {"disordered listing": 1}
        assert found.replicas_answered == 3

    asyncio.run(story())


def test_a_place_is_repaired_although_its_nearest_replica_has_nothing() -> None:
    async def story() -> None:
        engine = make_engine(1)
        nodes = await make_crowd(engine, 6, NodeConfig(k=8, replica_count=4, repair_interval=100.0))
        await publish(engine, nodes[0], [make_packet()])
        place = placement(make_key(0))
        nearest = min(nodes, key=lambda node: node.me.id ^ place)
        assert nearest._store.page(place, b"", 1, DAY)
        empty = nearest._store = nearest._server._store = MemoryStore(LIMITS)
        engine.advance(engine.now() + 500.0)
        assert empty.page(place, b"", 1, DAY)

    asyncio.run(story())
