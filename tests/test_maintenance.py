"""What a node does unasked: refresh, publish again, hand over, repair; and what when disks fail."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from qisguard.config import NodeConfig
from qisguard.errors import IdentityError, StoreError
from qisguard.identity.descriptor import open_descriptor
from qisguard.identity.ids import NodeId, placement
from qisguard.identity.network import Network
from qisguard.identity.puzzle import PuzzleForm
from qisguard.lab.links import Links
from qisguard.lab.virtual import VirtualEngine
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.maintenance import Maintenance
from qisguard.node.node import Node
from qisguard.node.operations import find
from qisguard.node.routing import RoutingTable
from qisguard.node.survey import Survey
from qisguard.plugins import Clock
from qisguard.store.memory import MemoryStore
from qisguard.store.store import StoreLimits
from qisguard.trail.checkpoint import origin_of
from qisguard.trail.entries import Entry
from qisguard.trail.files import MemoryFiles
from qisguard.trail.log import Trail
from tests.builders import (
    CLOCK,
    DAY,
    LIMITS,
    NETWORK,
    draw,
    key_pair,
    make_contact,
    make_crowd,
    make_identity,
    make_node,
    make_packet,
    make_record,
    make_stranger,
    publish,
    tell_crowd,
)

HOUR = 3_600.0
CONFIG = NodeConfig(k=8, replica_count=4)


async def _wait(engine: VirtualEngine, seconds: float) -> None:
    """Let the network work for so long."""
    engine.advance(engine.now() + seconds)


# --- publishing again ----------------------------------------------------------------------------
@pytest.mark.rule("N-37")
def test_what_a_node_published_it_publishes_again_before_its_records_expire() -> None:
    config = NodeConfig(k=8, replica_count=4, record_lifetime=900.0, republish_interval=400.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packet = make_packet(0, 0)
        await publish(engine, nodes[0], [packet])
        place = placement(packet.key)
        await _wait(engine, 2_400.0)
        now = int(engine.now())
        live = [n for n in nodes if n._store.records(place, b"", 10, now)]
        assert len(live) >= 4
        keys = [n for n in nodes if packet.key in n._store.keys(packet.key[0], b"", 10, now)]
        assert len(keys) >= 4

    tell_crowd(6, config, tell)


@pytest.mark.rule("N-37")
def test_nothing_is_published_again_for_a_packet_that_has_expired() -> None:
    """One second is a day here: the packet lives for three."""
    config = NodeConfig(k=8, replica_count=4, republish_interval=1.0, descriptor_days=300)

    async def run() -> None:
        engine = VirtualEngine(1, Clock(DAY, 86_400.0), Links())
        nodes = await make_crowd(engine, 6, config)
        start = engine.clock.day(engine.now())
        await publish(engine, nodes[0], [make_packet(0, 0, exp=start + 3)])
        await _wait(engine, 2.0)
        stores = sum(node.counts["requests: Store"] for node in nodes)
        assert stores > 4, "published again while it is alive"
        await _wait(engine, 3.0)
        stores = sum(node.counts["requests: Store"] for node in nodes)
        await _wait(engine, 20.0)
        assert sum(node.counts["requests: Store"] for node in nodes) == stores

    asyncio.run(run())


# --- the search for work is bounded --------------------------------------------------------------
@pytest.mark.rule("N-40")
def test_looking_for_work_in_a_large_store_takes_bounded_steps() -> None:
    store = MemoryStore(StoreLimits.of(NodeConfig()))
    for key in range(500):
        packet = make_packet(0, 0, key=key)
        store.put(placement(packet.key), packet, "none", DAY)
    pages: list[int] = []

    class Counting(MemoryStore):
        def places(self, after: bytes, limit: int) -> list[bytes]:
            page = store.places(after, limit)
            pages.append(len(page))
            return page

    table = RoutingTable(NodeId(1), CONFIG)
    for index in range(2, 40):
        table.heard_from(make_contact(index << 240), 0.0)
    work = Maintenance(
        NodeId(1),
        CONFIG,
        table,
        Survey(CONFIG, table, None),
        Counting(LIMITS),
        None,
        draw("work"),
        0.0,
        [],
    )
    work.greet(make_contact(1 << 255), 0.0)
    now = 0.0
    for _ in range(1_000):
        before = len(pages)
        if work.step(now):
            work.ended(now)
        assert len(pages) - before <= 2
        assert max(pages, default=0) <= 64
        now += 0.01
        if now > work.next_timer():
            continue


# --- refresh -------------------------------------------------------------------------------------
def test_an_idle_node_looks_around_every_refresh_interval() -> None:
    config = NodeConfig(k=8, replica_count=4, refresh_interval=600.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        await _wait(engine, 60.0)
        before = Counter({n.me.id: n.counts["requests: FindNode"] for n in nodes})
        await _wait(engine, 1_200.0)
        assert all(n.counts["requests: FindNode"] > before[n.me.id] for n in nodes)

    tell_crowd(8, config, tell)


# --- descriptors ---------------------------------------------------------------------------------
@pytest.mark.rule("N-41")
def test_a_descriptor_is_renewed_before_it_expires_and_peers_go_on_talking() -> None:
    """One second is a day here: a descriptor of nine days lasts nine seconds."""
    clock = Clock(first_day=DAY, rate=86_400.0)
    config = NodeConfig(k=8, descriptor_days=9)
    node = make_node(0, config=config, clock=clock)
    first = node.descriptor
    now = 0.0
    while now < 30.0:
        now = node.next_timer() or now
        node.handle_timer(now)
        node.descriptor.check_day(clock.day(now))
    assert node.descriptor.seq > first.seq
    open_descriptor(node.sessions.descriptor, NETWORK).check_day(clock.day(now))
    stranger = make_stranger(1)
    stranger.sessions.descriptor = stranger.identity.describe(
        NETWORK, stranger.address, 1, clock.day(now) + 5
    ).signed
    assert stranger.greet(node, now).descriptor.seq == node.descriptor.seq


# --- failing storage -----------------------------------------------------------------------------
class _Broken(MemoryStore):
    """A store whose disk is full from the first commit on."""

    def commit(self) -> None:
        raise StoreError("store: disk full")


@pytest.mark.rule("N-31")
def test_when_nothing_can_be_made_durable_nothing_is_acknowledged_and_reads_go_on() -> None:
    node, stranger = make_node(0, config=CONFIG), make_stranger(1)
    stranger.greet(node, 0.0)
    node._store = node._server._store = _Broken(LIMITS)
    request = messages.Store(1, make_record(stranger.identity).data, [make_packet(0, 0).data])
    assert stranger.say(node, messages.encode(request), 0.0) == []
    assert node.storage_fault == "store: disk full"
    assert stranger.say(node, messages.encode(messages.Ping(2)), 1.0)
    (again,) = stranger.say(node, messages.encode(request), 1.0)
    assert messages.decode(again) == messages.Refused(1, "store failed")
    with pytest.raises(StoreError, match="disk full"):
        node.publish([make_packet(0, 1)], 2.0)
    assert node.status(2.0)["fault"] == "store: disk full"
    node.handle_timer(10 * HOUR)
    node.close(10 * HOUR)


def test_status_names_no_peer_and_no_packet() -> None:
    node, stranger = make_node(0, config=CONFIG), make_stranger(1)
    request = messages.Store(1, make_record(stranger.identity).data, [make_packet(0, 0).data])
    stranger.say(node, messages.encode(request), 0.0)
    text = repr(node.status(0.0))
    assert stranger.address[0] not in text
    assert f"{stranger.identity.id:x}"[:12] not in text
    assert node.clock is CLOCK


def test_days_in_a_trail_never_go_back_however_calls_and_datagrams_mix() -> None:
    """A second is a day here: a node publishes on one day what it then holds on the next."""
    days: list[int] = []

    class Noted(Trail):
        def append(self, entry: Entry, packets: Sequence[bytes] = ()) -> int:
            days.append(entry.day)
            return super().append(entry, packets)

    identity = make_identity(0)
    origin = origin_of(NETWORK.id, identity.id)
    trail = Noted.create(MemoryFiles(), MemoryFiles(), origin, identity.log)
    clock = Clock(first_day=DAY, rate=86_400.0)
    node = make_node(0, config=CONFIG, clock=clock, trail=trail)
    stranger = make_stranger(1)
    stranger.greet(node, 1.9)
    node.publish([make_packet(0, 1, exp=DAY + 100)], 2.5)
    node.flush()
    request = messages.Store(
        1, make_record(stranger.identity).data, [make_packet(1, 0, exp=DAY + 100).data]
    )
    stranger.say(node, messages.encode(request), 2.6)
    assert days == sorted(days)
    assert set(days) == {DAY + 2}


def test_an_id_that_signs_wrong_solutions_gets_few_costly_checks() -> None:
    network = Network(
        "dear", key_pair("authority").public, bytes(32), 0, 16, PuzzleForm.ARGON2ID, 1_024, 1
    )
    cheap = Network("dear", key_pair("authority").public, bytes(32), 0, 0)
    liar = make_identity(1)
    node = make_node(0)
    node.network, node._checks = network, Checks()
    errors = Counter[str]()
    for seq in range(12):
        forged = liar.describe(cheap, ("10.1.1.1", 4_000), seq, DAY + 5).signed
        with pytest.raises(IdentityError) as caught:
            node._open_descriptor(forged)
        errors["budget" if "budget" in str(caught.value) else "solution"] += 1
    assert errors == {"solution": 4, "budget": 8}


@pytest.mark.rule("N-10")
def test_a_lost_bootstrap_is_found_again_within_a_minute_of_its_return() -> None:
    config = NodeConfig(refresh_interval=86_400.0, failures_max=1)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        first, second = nodes
        engine.stop(first)
        await _wait(engine, 700.0)  # the session is idle and forgotten meanwhile
        engine.act(second, lambda now: [second.find(first.me.id, now)])
        await _wait(engine, 300.0)
        assert first.me.id not in second.table
        back = engine.restart(first, lambda address: make_node(0, address, config=config))
        await _wait(engine, 60.0)
        assert back.me.id in second.table
        assert second.me.id in back.table

    tell_crowd(2, config, tell)


@pytest.mark.rule("N-10")
def test_who_looks_through_a_bootstrap_asks_it_though_many_are_nearer() -> None:
    """After a cut all that are near are on our side: beside them it would never be asked."""

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        node = nodes[0]
        far = max(nodes, key=lambda other: other.me.id ^ node.me.id)
        around = node._around(engine.now())
        asks = next(find(around, node.me.id, 4, [far.me]))
        assert [ask.contact for ask in asks] == [far.me]
        assert far.me not in [ask.contact for ask in next(find(around, node.me.id, 4))]

    tell_crowd(16, NodeConfig(k=4), tell)
