"""Requests: measured time-outs, few at a time, busy peers, late ones, and what a restart costs."""

import asyncio
import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId
from qisguard.lab.stranger import Stranger
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.lookup import Lookup
from qisguard.node.messages import Message
from qisguard.node.node import Node
from qisguard.node.operations import LATE, Found
from qisguard.node.round_trips import SAMPLES_MIN, RoundTrips
from tests.builders import (
    find,
    make_contact,
    make_crowd,
    make_engine,
    make_key,
    make_node,
    make_packet,
    make_stranger,
    publish,
    retrieve,
)

CONFIG = NodeConfig(
    request_timeout=2.0, request_timeout_min=0.1, request_tries=4, requests_per_peer_max=4
)


# --- round trips ---------------------------------------------------------------------------------
@pytest.mark.rule("N-16")
def test_a_peer_without_samples_gets_the_longest_wait_and_then_the_common_one() -> None:
    trips = RoundTrips(CONFIG)
    assert trips.timeout(NodeId(1), 1) == 2.0
    for _ in range(SAMPLES_MIN):
        trips.add(NodeId(2), 0.3)
    assert 0.3 <= trips.timeout(NodeId(1), 1) < 0.6


def test_a_slow_peer_is_given_time_and_a_quick_one_is_not() -> None:
    trips = RoundTrips(CONFIG)
    for _ in range(20):
        trips.add(NodeId(1), 0.12)
        trips.add(NodeId(2), 1.2)
    assert trips.timeout(NodeId(1), 1) == pytest.approx(0.12, abs=0.02)
    assert trips.timeout(NodeId(2), 1) == pytest.approx(1.2, abs=0.1)


@pytest.mark.rule("N-16")
@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1e6)), max_size=200), st.integers(1, 16))
def test_waits_stay_within_their_bounds_and_grow_with_each_try(
    samples: list[tuple[int, float]], tries: int
) -> None:
    config = NodeConfig(request_timeout=2.0, request_timeout_min=0.1, addresses_tracked_max=8)
    trips = RoundTrips(config)
    for peer, sample in samples:
        trips.add(NodeId(peer), sample)
    assert len(trips._peers) <= 8
    for peer in range(31):
        wait = trips.timeout(NodeId(peer), tries)
        assert 0.1 <= wait <= 2.0
        assert trips.timeout(NodeId(peer), tries + 1) >= wait
    assert 0.1 <= trips.usual() <= 2.0


@pytest.mark.rule("N-44")
def test_a_lookup_waits_for_few_tries_where_nothing_is_lost_and_for_all_where_much_is() -> None:
    trips = RoundTrips(NodeConfig())
    assert trips.patience(is_stranger=False) is None, "nothing is known yet"
    for _ in range(200):
        trips.add(NodeId(1), 0.1)
        trips.answered(1)
    assert trips.patience(is_stranger=False) == pytest.approx(2.5), "time for a new session"
    assert trips.patience(is_stranger=True) == pytest.approx(2.0)
    for count in range(600):  # every second try fails
        trips.answered((1, 1, 1, 1, 2, 2, 3, 5)[count % 8])
    assert trips.patience(is_stranger=False) is None


# --- one node and one peer, by hand --------------------------------------------------------------
def _met(config: NodeConfig = CONFIG) -> tuple[Node, Stranger, Contact]:
    node, stranger = make_node(0, config=config), make_stranger(1)
    stranger.say(node, messages.encode(messages.Ping(1)), 0.0)
    stranger.heard.clear()
    return node, stranger, Contact(stranger.identity.id, stranger.address)


def _heard(node: Node, stranger: Stranger, now: float) -> Sequence[Message]:
    stranger.heard.clear()
    stranger.deliver(node, now)
    return [messages.decode(data) for data in stranger.heard]


@pytest.mark.rule("N-18")
def test_few_requests_are_in_flight_to_one_peer_and_all_are_sent_in_the_end() -> None:
    node, stranger, _ = _met()
    for target in range(20):
        node.find(NodeId(target), 0.0)
    stranger.deliver(node, 0.0)
    answered = 0
    while answered < len(stranger.heard):
        assert len(stranger.heard) - answered <= CONFIG.requests_per_peer_max
        request = messages.decode(stranger.heard[answered])
        answered += 1
        stranger.say(node, messages.encode(messages.Nodes(request.number, [])), 0.0)
    assert answered == 20
    assert not node.is_busy


@pytest.mark.rule("N-19")
def test_a_busy_peer_is_asked_again_later_and_then_believed() -> None:
    node, stranger, _ = _met()
    node.find(NodeId(1), 0.0)
    now, asked = 0.0, 0
    while node.is_busy:
        for request in _heard(node, stranger, now):
            asked += 1
            busy = messages.Refused(request.number, messages.BUSY)
            stranger.say(node, messages.encode(busy), now)
        now = node.next_timer() or now
        node.handle_timer(now)
    assert asked == CONFIG.request_tries
    assert len(node.table) == 1, "a busy peer is alive"


@pytest.mark.rule("N-17")
def test_a_silent_peer_is_asked_as_often_as_the_configuration_says_and_then_dropped() -> None:
    node, stranger, _ = _met(dataclasses.replace(CONFIG, failures_max=1))
    stranger.sessions.outbox.clear()
    node.find(NodeId(1), 0.0)
    now, requests, hellos = 0.0, 0, 0
    while node.is_busy:
        for effect in node.effects():
            requests += effect.data[0] == 5
            hellos += effect.data[0] == 1
        now = node.next_timer() or now
        node.handle_timer(now)
    assert requests == CONFIG.request_tries
    assert hellos >= 1, "half way a new session is sought: the peer may have restarted"
    assert len(node.table) == 0
    assert len(node.sessions) == 0, "the session that failed is closed"


@pytest.mark.rule("N-15")
def test_a_lookup_asks_somebody_else_while_one_is_late() -> None:
    lookup = Lookup(NodeId(0), [make_contact(i) for i in (1, 2, 3)], count=3, alpha=1)
    (first,) = lookup.queries_to_send()
    assert lookup.queries_to_send() == []
    lookup.handle_late(first.id)
    (second,) = lookup.queries_to_send()
    assert second != first
    lookup.handle_nodes(first.id, [])
    lookup.handle_nodes(second.id, [])
    assert first in lookup.closest()


def test_an_operation_is_told_once_that_a_hurried_request_is_late() -> None:
    node, stranger, _ = _met()
    node.find(NodeId(1), 0.0)
    stranger.deliver(node, 0.0)
    told = 0
    now = 0.0
    while node.is_busy:
        now = node.next_timer() or now
        node._requests.handle_timer(now)
        told += sum(answer[2] is LATE for _, answer in node._requests.answered)
        node.handle_timer(now)
    assert told == 1


@pytest.mark.rule("N-44")
def test_a_lookup_goes_on_soon_without_the_dead_and_they_stay_in_the_table_for_all_tries() -> None:
    async def story() -> None:
        engine = make_engine(3)
        config = NodeConfig(k=8, failures_max=1)
        nodes = await make_crowd(engine, 12, config)
        for number in range(8):
            await find(engine, nodes[0], NodeId(number << 252))
        dead = nodes[5].me.id
        engine.stop(nodes[5])
        before = engine.now()
        found = await find(engine, nodes[0], dead)
        assert len(found) == 8
        assert dead not in {contact.id for contact in found}
        assert engine.now() - before < 4.0
        assert dead in nodes[0].table
        engine.advance(engine.now() + 10.0)
        assert dead not in nodes[0].table

    asyncio.run(story())


@pytest.mark.rule("N-17")
@pytest.mark.parametrize(("tries", "handshakes"), [(None, 1), (1, 1), (2, 2)])
def test_a_handshake_that_failed_is_begun_once_more_where_much_is_lost(
    tries: int | None, handshakes: int
) -> None:
    """``tries`` is how many it took to be answered so far; nothing is known of a new network."""
    node = make_node(0, config=dataclasses.replace(CONFIG, knock_interval=1e6))
    for _ in range(200 if tries else 0):
        node._requests._round_trips.answered(tries or 1)
    node.join([make_contact(7 << 200)], 0.0)
    now = 0.0
    while now < 90.0:
        now = node.next_timer() or now
        node.handle_timer(now)
    assert node.counts["handshakes failed"] == handshakes


@pytest.mark.rule("N-44")
def test_a_node_that_stood_still_itself_gives_its_peers_time_to_be_heard() -> None:
    node, stranger, contact = _met()
    for _ in range(200):
        node._requests._round_trips.answered(1)
    assert node._requests._round_trips.patience(is_stranger=False) is not None
    operation = node.find(NodeId(1), 0.0)
    (request,) = _heard(node, stranger, 0.0)
    node.handle_timer(9.0)
    assert node.is_busy
    stranger.say(node, messages.encode(messages.Nodes(request.number, [])), 9.5)
    (done,) = [event for event in node.events() if event.id == operation]
    assert isinstance(done.value, Found)
    assert contact in done.value.contacts


@pytest.mark.rule("N-17")
def test_a_peer_that_restarted_is_reached_again_within_one_request() -> None:
    async def story() -> None:
        engine = make_engine(3)
        nodes = await make_crowd(engine, 6, NodeConfig(k=6, replica_count=6))
        await publish(engine, nodes[1], [make_packet(0, 0)])
        for session in list(nodes[2].sessions._open.values()):
            nodes[2].sessions.close(session)  # as after a restart: it knows none of its sessions
        assert len(await find(engine, nodes[0], nodes[2].me.id)) == 6
        (result,) = await retrieve(engine, nodes[0], 0)
        assert result.replicas_answered == 6

    asyncio.run(story())


def test_bulk_work_is_acknowledged_whole() -> None:
    """600 packets of one key to each replica: far more than a budget or a queue of one second."""

    async def story() -> None:
        engine = make_engine(4)
        config = NodeConfig(k=4, replica_count=4, requests_per_second=200.0)
        nodes = await make_crowd(engine, 4, config)
        (done,) = await publish(engine, nodes[0], [make_packet(0, case) for case in range(600)])
        assert done.acknowledged == 600 * done.replica_count
        (result,) = await retrieve(engine, nodes[1], 0)
        assert len(result.packets) == 600
        assert result.key == make_key(0)

    asyncio.run(story())
