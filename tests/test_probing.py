"""Probing: who is asked whether it is alive, and how often."""

import asyncio

import pytest

from qisguard.config import NodeConfig
from qisguard.identity.ids import NodeId, to_bytes
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.probing import PAUSE_MIN, PINGS_MAX, Probing
from qisguard.node.routing import RoutingTable
from tests.builders import make_contact, make_crowd, make_engine, make_node, make_stranger

CONFIG = NodeConfig(k=8)
PAUSE = 240.0


def _table(count: int) -> tuple[RoutingTable, list[Contact]]:
    """Return a table, and its contacts from the one heard least recently on."""
    table = RoutingTable(NodeId(1), NodeConfig(k=20, address_diversity=False))
    contacts = [make_contact(index << 248) for index in range(1, count + 1)]
    for index, contact in enumerate(contacts):
        table.heard_from(contact, float(index))
    return table, contacts


@pytest.mark.rule("N-45")
def test_the_silent_are_asked_first_and_then_who_was_heard_least_recently() -> None:
    table, contacts = _table(6)
    table.failed(contacts[4])
    asked = [table.doubtful(100.0 + index, set()) for index in range(3)]
    assert asked == [contacts[4]] * 3, "until it answers or is dropped"
    table.seen(contacts[4].id, 110.0)
    asked = [table.doubtful(120.0 + index, set()) for index in range(6)]
    assert asked == [*contacts[:4], contacts[5], contacts[4]]
    table.failed(contacts[2])
    assert table.doubtful(130.0, {contacts[2]}) == contacts[0], "its ping is under way"


@pytest.mark.rule("N-45")
def test_pauses_halve_with_each_silence_and_grow_slowly_with_answers() -> None:
    table, contacts = _table(6)
    probing = Probing(table, PAUSE, 0.0)
    assert probing.next_timer() == PAUSE
    table.failed(contacts[0])
    table.failed(contacts[1])
    assert probing.step(1.0) is None
    assert probing.next_timer() == PAUSE / 4
    contact = probing.step(PAUSE / 4)
    assert contact in contacts[:2]
    probing.ended(contact, is_alive=True)
    assert PAUSE / 4 < probing.next_timer() - PAUSE / 4 < PAUSE / 3
    for _ in range(100):
        table.silences += 1
    probing.step(1_000.0)
    assert probing.next_timer() == 1_000.0 + PAUSE_MIN


@pytest.mark.rule("N-45")
def test_few_pings_are_under_way_at_a_time() -> None:
    table, _ = _table(20)
    probing = Probing(table, PAUSE, 0.0)
    asked = [probing.step(PAUSE * count) for count in range(1, 20)]
    assert len([contact for contact in asked if contact]) == PINGS_MAX


@pytest.mark.rule("N-45")
def test_the_dead_leave_a_table_though_nobody_looks_for_them() -> None:
    config = NodeConfig(k=20, refresh_interval=86_400.0)

    async def story() -> None:
        engine = make_engine(5)
        nodes = await make_crowd(engine, 16, config)
        gone = {node.me.id for node in nodes[8:]}
        for node in nodes[8:]:
            engine.stop(node)
        before = sum(contact.id in gone for node in nodes[:8] for contact in node.table)
        engine.advance(engine.now() + 1_500.0)
        after = sum(contact.id in gone for node in nodes[:8] for contact in node.table)
        assert before >= 50
        assert after == 0

    asyncio.run(story())


@pytest.mark.rule("N-43")
def test_who_left_the_latest_request_unanswered_is_named_to_nobody() -> None:
    node, stranger, other = make_node(0, config=CONFIG), make_stranger(1), make_stranger(2)
    other.say(node, messages.encode(messages.Ping(1)), 0.0)
    request = messages.encode(messages.FindNode(7, to_bytes(other.identity.id)))
    (before,) = stranger.say(node, request, 0.0)
    contact = Contact(other.identity.id, other.address)
    node.table.failed(contact)
    (silent,) = stranger.say(node, request, 1.0)
    node.table.seen(contact.id, 2.0)
    (heard,) = stranger.say(node, request, 3.0)
    counts = [len(messages.decode(data).contacts) for data in (before, silent, heard)]  # type: ignore[union-attr]  # all are Nodes
    assert counts == [1, 0, 1]
    assert node.table.closest(contact.id, 1) == [contact], "we ourselves ask it again"
