"""Sessions as real nodes use them: restarts, renewal of keys, replies and records in whose name."""

import asyncio

import pytest

from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.node import Node
from qisguard.node.operations import Found
from tests.builders import (
    find,
    make_crowd,
    make_engine,
    make_identity,
    make_node,
    make_record,
    make_stranger,
)


def _carry(nodes: list[Node], now: float) -> None:
    """Deliver among these nodes until nobody sends; what is for others is lost."""
    by_address = {node.me.address: node for node in nodes}
    busy = True
    while busy:
        busy = False
        for node in nodes:
            node.flush()
            for effect in node.effects():
                if receiver := by_address.get(effect.to):
                    receiver.receive_datagram(effect.data, node.me.address, now)
                    busy = True


def _finish(nodes: list[Node], node: Node, operation: int, now: float) -> tuple[object, float]:
    """Run everybody's timers until an operation ends; return its value and when."""
    while True:
        _carry(nodes, now)
        for event in node.events():
            if event.id == operation:
                return event.value, now
        now = min(due for each in nodes if (due := each.next_timer()) is not None)
        for each in nodes:
            each.handle_timer(now)


@pytest.mark.rule("W-26")
def test_a_peer_that_restarted_is_found_again_and_the_request_answered() -> None:
    asker, peer = make_node(0), make_node(1)
    first = asker.join([Contact(peer.me.id, peer.me.address)], 0.0)
    _finish([asker, peer], asker, first, 0.0)
    old = asker.sessions.get(peer.me.id)
    assert old is not None
    peer = make_node(1)  # the same identity at the same address, with nothing remembered
    peer.counts.clear()
    again = asker.find(make_identity(7).id, 100.0)
    found, when = _finish([asker, peer], asker, again, 100.0)
    assert isinstance(found, Found)
    assert peer.me.id in [contact.id for contact in found.contacts]
    assert peer.counts["dropped: no such session"] > 0
    assert peer.counts["requests: FindNode"] > 0
    assert asker.sessions.get(peer.me.id) is not old
    assert when < 110.0


@pytest.mark.rule("W-28")
def test_requests_are_answered_while_a_session_is_renewed() -> None:
    asker, peer = make_node(0), make_node(1)
    pair = [asker, peer]
    _finish(pair, asker, asker.join([Contact(peer.me.id, peer.me.address)], 0.0), 0.0)
    old = asker.sessions.get(peer.me.id)
    assert old is not None
    now = asker.config.session_rekey_after + 1.0
    old.last = now  # a session that never was idle
    for session in peer.sessions._open.values():
        session.last = now
    assert asker.sessions.needs_rekey(old, now)
    asker.sessions.connect(peer.me.id, peer.me.address, now, proven=True)
    repeated = asker.counts["requests repeated"]
    for index in range(10, 20):
        found, _ = _finish(pair, asker, asker.find(make_identity(index).id, now), now)
        assert isinstance(found, Found)
        assert peer.me.id in [contact.id for contact in found.contacts]
    assert asker.counts["requests repeated"] == repeated
    assert asker.sessions.get(peer.me.id) is not old
    assert not asker.counts["dropped: malformed message"]
    assert not peer.counts["dropped: malformed message"]


@pytest.mark.rule("W-34")
def test_a_reply_counts_only_from_the_peer_that_was_asked() -> None:
    node, asked, other = make_node(0), make_stranger(1), make_stranger(2)
    for stranger in (asked, other):
        stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    node.bootstraps = [Contact(asked.identity.id, asked.address)]
    node.find(make_identity(9).id, 0.0)
    asked.heard.clear()
    asked.deliver(node, 0.0)
    request = messages.decode(asked.heard[-1])
    assert isinstance(request, messages.FindNode)
    reply = messages.encode(messages.Nodes(request.number, []))
    before = node.counts["dropped: reply nobody asked for"]
    other.say(node, reply, 0.0)
    asked.say(node, messages.encode(messages.Nodes(request.number + 77, [])), 0.0)
    assert node.counts["dropped: reply nobody asked for"] == before + 2
    asked.say(node, reply, 0.0)
    assert node.counts["dropped: reply nobody asked for"] == before + 2


@pytest.mark.rule("W-37")
def test_a_record_is_taken_only_in_the_session_of_its_provider() -> None:
    node, provider, thief = make_node(0), make_stranger(1), make_stranger(2)
    record = make_record(provider.identity)
    request = messages.encode(messages.Store(5, record.data, []))
    for stranger, kind in ((thief, messages.Refused), (provider, messages.Stored)):
        (answer,) = stranger.say(node, request, 0.0)
        assert isinstance(messages.decode(answer), kind)
    foreign = record.data[:-64] + bytes(64)
    (answer,) = provider.say(node, messages.encode(messages.Store(6, foreign, [])), 0.0)
    assert isinstance(messages.decode(answer), messages.Refused)


def test_a_crowd_with_a_small_session_table_still_finds_everybody() -> None:
    """Twelve nodes of which each keeps four sessions: evicted ones are opened again."""

    async def story() -> None:
        config = make_node(0).config
        engine = make_engine(4)
        small = type(config)(k=4, replica_count=3, sessions_max=4)
        nodes = await make_crowd(engine, 12, small)
        for node in nodes[::3]:
            found = await find(engine, node, nodes[5].me.id)
            assert node is nodes[5] or found[0].id == nodes[5].me.id
        assert all(len(node.sessions) <= 4 for node in nodes)

    asyncio.run(story())
