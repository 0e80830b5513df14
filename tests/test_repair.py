"""What keeps records alive while nodes come and go: handing over, and repairing in rounds."""

import asyncio

import pytest

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.lab.virtual import VirtualEngine
from qisguard.node.contact import Contact
from qisguard.node.maintenance import Maintenance
from qisguard.node.node import Node
from qisguard.node.routing import RoutingTable
from qisguard.node.survey import Survey
from qisguard.store.memory import MemoryStore
from tests.builders import (
    DAY,
    LIMITS,
    draw,
    make_contact,
    make_crowd,
    make_engine,
    make_identity,
    make_key,
    make_node,
    make_packet,
    make_roster,
    publish,
    retrieve,
    tell_crowd,
)

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
    work = Maintenance(
        NodeId(1),
        config,
        table,
        Survey(config, table, None),
        MemoryStore(LIMITS),
        None,
        draw("haste"),
        0.0,
        [],
    )

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


@pytest.mark.rule("N-39")
def test_in_one_round_each_replica_is_visited_by_another_holder() -> None:
    """Where tables agree nobody is left out, and in as many rounds as replicas all pairs meet."""
    config = NodeConfig(k=20, replica_count=8, address_diversity=False)
    contacts = [make_contact(index << 248) for index in range(1, 9)]
    place = NodeId(77 << 248)
    holders = []
    for contact in contacts:
        table = RoutingTable(contact.id, config)
        for other in contacts:
            table.heard_from(other, 0.0)
        store = MemoryStore(LIMITS)
        holders.append(
            Maintenance(
                contact.id,
                config,
                table,
                Survey(config, table, None),
                store,
                None,
                draw("round"),
                0.0,
                [],
            )
        )
    for turn in range(7):
        visited = [holder._others(place, turn)[0] for holder in holders]
        assert sorted(visited) == sorted(contact.id for contact in contacts)
    for holder in holders:
        assert len({holder._others(place, turn)[0] for turn in range(7)}) == 7
