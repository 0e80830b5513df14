"""What a node does unasked: refresh, publish again, hand over, repair; and what when disks fail."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.errors import IdentityError, StoreError
from qisguard.identity.descriptor import open_descriptor
from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.identity.network import Network
from qisguard.identity.puzzle import PuzzleForm
from qisguard.lab.links import Links
from qisguard.lab.virtual import VirtualEngine
from qisguard.node import messages
from qisguard.node.checks import Checks
from qisguard.node.maintenance import Maintenance
from qisguard.node.node import Node
from qisguard.node.routing import Contact, RoutingTable
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
    tell_crowd,
)

HOUR = 3_600.0
CONFIG = NodeConfig(k=8, replica_count=4)


async def _wait(engine: VirtualEngine, seconds: float) -> None:
    """Let the network work for so long."""
    engine.advance(engine.now() + seconds)


async def _add(engine: VirtualEngine, index: int, config: NodeConfig, seeds: list[Contact]) -> Node:
    node = engine.add(lambda address: make_node(index, address, config=config))
    await engine.finish(engine.act(node, lambda now: [node.join(seeds, now)]))
    return node


def _holders(nodes: list[Node], key: int) -> list[Node]:
    name = to_bytes(placement(make_key(key)))
    return [node for node in nodes if name in node._store.places(b"", 1_000)]


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


# --- handing over and repairing ------------------------------------------------------------------
@pytest.mark.rule("N-38")
def test_a_new_neighbour_of_a_key_is_handed_its_packets() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case, key=case % 6) for case in range(30)]
        await publish(engine, nodes[0], packets)
        seeds = [node.me for node in nodes[:3]]
        nodes += [await _add(engine, index, CONFIG, seeds) for index in range(12, 18)]
        await _wait(engine, 60.0)
        for key in range(6):
            place = placement(make_key(key))
            distances = {node.me.id ^ place: node for node in nodes}
            for node in [distances[distance] for distance in sorted(distances)[:4]]:
                digests = {digest for digest, _ in node._store.page(place, b"", 100, DAY)}
                assert digests == {p.digest for p in packets if p.key == make_key(key)}

    tell_crowd(12, CONFIG, tell)


@pytest.mark.rule("N-38")
def test_a_replica_that_starts_again_empty_is_handed_its_packets_though_nobody_missed_it() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case) for case in range(5)]
        await publish(engine, nodes[0], packets)
        victim = next(n for n in _holders(nodes, 0) if n is not nodes[0])
        index = nodes.index(victim)
        engine.stop(victim)
        await _wait(engine, 30.0)
        others = [node for node in nodes if node is not victim]
        assert sum(victim.me.id in node.table for node in others) > 5
        back = engine.restart(
            victim, lambda address: make_node(index, address, config=CONFIG, now=engine.now())
        )
        await engine.finish(engine.act(back, lambda now: [back.join([nodes[0].me], now)]))
        await _wait(engine, 60.0)
        place = placement(make_key(0))
        assert {d for d, _ in back._store.page(place, b"", 100, DAY)} == {p.digest for p in packets}

    tell_crowd(12, CONFIG, tell)


@pytest.mark.rule("N-39")
@pytest.mark.parametrize("survivor", [0, 5, 11])
def test_one_holder_left_fills_a_whole_place_in_one_round(survivor: int) -> None:
    """Nearest or not: it does not take a certain replica to do it."""
    config = NodeConfig(k=12, replica_count=12, repair_interval=1_000.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case) for case in range(3)]
        await publish(engine, nodes[0], packets)
        place = placement(make_key(0))
        nearest = sorted(nodes, key=lambda node: node.me.id ^ place)
        for rank, node in enumerate(nearest):
            if rank != survivor:
                node._store = node._server._store = node._maintenance._store = MemoryStore(LIMITS)
        assert len(_holders(nodes, 0)) == 1
        await _wait(engine, 1_200.0)
        assert len(_holders(nodes, 0)) == 12

    tell_crowd(12, config, tell)


@pytest.mark.rule("N-39")
def test_a_whole_place_costs_each_holder_one_question_a_round() -> None:
    config = NodeConfig(k=12, replica_count=12, repair_interval=1_000.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        await publish(engine, nodes[0], [make_packet(0, 0)])
        await _wait(engine, 100.0)
        before = sum(node.counts["requests: ListPackets"] for node in nodes)
        await _wait(engine, 5_000.0)
        listed = sum(node.counts["requests: ListPackets"] for node in nodes) - before
        assert 4 * 12 <= listed <= 6 * 12

    tell_crowd(12, config, tell)


@pytest.mark.rule("N-39")
def test_rounds_of_repair_follow_fast_where_neighbours_change_and_only_there() -> None:
    config = NodeConfig(k=20, repair_interval=1_200.0, address_diversity=False)
    table = RoutingTable(NodeId(1), config)
    held = [make_contact(index << 240) for index in range(2, 14)]
    for contact in held:
        table.heard_from(contact, 0.0)
    work = Maintenance(NodeId(1), config, table, MemoryStore(LIMITS), None, draw("haste"), 0.0, [])

    def rounds(until: float) -> int:
        now, before = work.next_timer(), work._repairs
        while now < until:
            if work.step(now):
                work.ended(now)
            now = max(work.next_timer(), now + 0.001)
        return work._repairs - before

    rounds(1_200.0)
    assert rounds(6_000.0) == 4, "one in each interval"
    for number, contact in enumerate(held[:4]):
        for _ in range(config.failures_max):
            table.failed(contact)
        table.heard_from(make_contact(number + 100 << 240), 6_000.0)
    assert rounds(6_110.0) == 1, "a third of the neighbours were replaced"
    assert rounds(7_200.0) == 0


@pytest.mark.rule("N-39")
def test_a_replica_that_lost_everything_is_repaired() -> None:
    config = NodeConfig(k=8, replica_count=4, repair_interval=100.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case) for case in range(9)]
        await publish(engine, nodes[0], packets)
        place = placement(make_key(0))
        victim = next(n for n in _holders(nodes, 0) if n is not nodes[0])
        empty = MemoryStore(LIMITS)
        victim._store = victim._server._store = empty
        await _wait(engine, 500.0)
        assert {d for d, _ in empty.page(place, b"", 100, DAY)} == {p.digest for p in packets}

    tell_crowd(10, config, tell)


@pytest.mark.rule("N-39")
def test_replicas_repair_a_roster_place_that_one_of_them_missed() -> None:
    roster = make_roster([make_identity(index) for index in range(12)])
    config = NodeConfig(
        k=8, replica_count=4, replica_rule=ReplicaRule.ROSTER, repair_interval=100.0
    )

    async def run() -> None:
        engine = make_engine(2)
        nodes = await make_crowd(engine, 12, config, roster=roster)
        await publish(engine, nodes[0], [make_packet(0, case) for case in range(5)])
        holders = _holders(nodes, 0)
        assert len(holders) == 4
        empty = MemoryStore(LIMITS)
        holders[-1]._store = holders[-1]._server._store = empty
        await _wait(engine, 600.0)
        assert len(empty.page(placement(make_key(0)), b"", 100, DAY)) == 5
        assert len(_holders(nodes, 0)) == 4, "nobody else was given anything"

    asyncio.run(run())


def test_packets_outlive_every_node_that_first_held_them() -> None:
    """One node after the other is replaced by a newcomer; the publisher goes first."""
    config = NodeConfig(k=8, replica_count=4, repair_interval=100.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        await publish(engine, nodes[0], [make_packet(0, case) for case in range(5)])
        first = list(nodes)
        for index, gone in enumerate(first):
            engine.stop(gone)
            nodes.remove(gone)
            seeds = [node.me for node in nodes[-3:]]
            nodes.append(await _add(engine, 50 + index, config, seeds))
            await _wait(engine, 60.0)
        (result,) = await retrieve(engine, nodes[0], 0)
        assert len(result.packets) == 5

    tell_crowd(10, config, tell)


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
    work = Maintenance(NodeId(1), CONFIG, table, Counting(LIMITS), None, draw("work"), 0.0, [])
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
