"""Finding, reading and writing over whole networks: what they return, and who can spoil it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.identity.ids import NodeId, placement, shared_prefix, to_bytes
from qisguard.lab.virtual import VirtualEngine
from qisguard.node import messages
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.node.operations import REGION_SEARCHES_MAX, Found, Replicas, replicas
from qisguard.node.reading import Provided, Walked
from qisguard.outcomes.packet import OutcomePacket
from qisguard.store.record import sign_index
from tests.builders import (
    NETWORK,
    make_identity,
    make_key,
    make_node,
    make_packet,
    make_record,
    make_stranger,
    publish,
    tell_crowd,
)

CONFIG = NodeConfig(k=8, replica_count=5)


@dataclass(slots=True)
class Liar:
    """Answers with whatever ``says`` makes of the honest reply."""

    says: Callable[[Request, Reply], Reply | None]
    heard: list[Request] = field(default_factory=list)

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """See ``Behaviour``."""
        self.heard.append(request)
        return self.says(request, honest)

    def act(self, node: Node, now: float) -> float | None:
        """See ``Behaviour``."""
        return None


async def _ask(engine: VirtualEngine, node: Node, start: Callable[[float], int]) -> object:
    (value,) = await engine.finish(engine.act(node, lambda now: [start(now)]))
    return value


def _nearest(nodes: list[Node], place: NodeId, count: int) -> list[NodeId]:
    return sorted((node.me.id for node in nodes), key=lambda i: i ^ place)[:count]


# --- finding -------------------------------------------------------------------------------------
def test_a_lookup_says_how_many_hops_and_messages_it_took() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        target = NodeId(1 << 200)
        found = await _ask(engine, nodes[0], lambda now: nodes[0].find(target, now))
        assert isinstance(found, Found)
        assert [c.id for c in found.contacts] == _nearest(nodes, target, 8)
        assert 1 <= found.hops <= 4
        assert 8 <= found.message_count <= 24

    tell_crowd(24, CONFIG, tell)


def _replicas(engine: VirtualEngine, node: Node, place: NodeId) -> Awaitable[object]:
    return _ask(
        engine, node, lambda now: node._work.start(replicas(node._outlook.at(now), place), now)
    )


@pytest.mark.rule("N-20")
def test_open_replicas_are_the_closest_nodes() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        for key in range(10):
            place = placement(make_key(key))
            found = await _replicas(engine, nodes[key], place)
            assert isinstance(found, Replicas)
            assert [c.id for c in found.contacts] == _nearest(nodes, place, 5)

    tell_crowd(24, CONFIG, tell)


@pytest.mark.rule("N-22")
def test_a_region_holds_everybody_whose_id_lies_in_it() -> None:
    """Forty nodes, two wanted: the region is a subtree of 16 to 32 parts of the network's ids."""
    config = NodeConfig(k=4, replica_count=2, replica_rule=ReplicaRule.REGION)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        for key in range(6):
            place = placement(make_key(key))
            asker = nodes[key]
            depth = 0
            while 2 << depth + 1 <= asker.table.size():
                depth += 1
            inside = {n.me.id for n in nodes if shared_prefix(n.me.id, place) >= depth}
            found = await _replicas(engine, asker, place)
            assert isinstance(found, Replicas)
            assert inside | set(_nearest(nodes, place, 2)) == {c.id for c in found.contacts}

    tell_crowd(40, config, tell)


@pytest.mark.rule("N-22")
def test_a_region_is_walked_in_a_bounded_number_of_lookups() -> None:
    """Everybody claims a full neighbourhood without end: the walk stops all the same."""
    config = NodeConfig(k=4, replica_count=2, replica_rule=ReplicaRule.REGION, region_max=4_096)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        found = await _replicas(engine, nodes[0], placement(make_key(0)))
        assert isinstance(found, Replicas)
        asked = sum(node.counts["requests: FindNode"] for node in nodes)
        assert asked <= len(nodes) * (REGION_SEARCHES_MAX + 8)

    tell_crowd(12, config, tell)


# --- one value -----------------------------------------------------------------------------------
@pytest.mark.rule("N-34")
def test_one_packet_is_found_by_its_digest() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case) for case in range(3)]
        await publish(engine, nodes[0], packets)
        digest = packets[1].digest
        for reader in nodes:
            value = await _ask(engine, reader, partial(reader.value, make_key(0), digest))
            assert isinstance(value, OutcomePacket)
            assert value.data == packets[1].data
        missing = await _ask(
            engine, nodes[3], lambda now: nodes[3].value(make_key(0), bytes(32), now)
        )
        assert missing is None

    tell_crowd(16, CONFIG, tell)


@pytest.mark.rule("N-34")
def test_a_liar_on_the_way_cannot_pass_another_packet_off_as_the_value() -> None:
    other = make_packet(0, 9)

    def says(request: Request, honest: Reply) -> Reply:
        if isinstance(request, messages.FindValue):
            return messages.Packets(request.number, [other.data])
        return honest

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packet = make_packet(0, 1)
        await publish(engine, nodes[0], [packet])
        for node in nodes[4:]:
            node.corrupt(Liar(says))
        for reader in nodes[:4]:
            value = await _ask(engine, reader, partial(reader.value, make_key(0), packet.digest))
            assert value is None or (isinstance(value, OutcomePacket) and value.data == packet.data)

    tell_crowd(16, CONFIG, tell)


# --- providers and the index ---------------------------------------------------------------------
@pytest.mark.rule("N-35")
def test_every_provider_of_a_key_is_found_page_by_page() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        for index, node in enumerate(nodes):
            await publish(engine, node, [make_packet(index, 0)])
        place = placement(make_key(0))
        provided = await _ask(engine, nodes[0], lambda now: nodes[0].providers(place, now))
        assert isinstance(provided, Provided)
        assert set(provided.records) == {node.me.id for node in nodes}
        assert provided.replicas_answered == provided.replicas_asked == 5
        assert not provided.refused

    tell_crowd(17, CONFIG, tell)


@pytest.mark.rule("N-33")
@pytest.mark.rule("N-35")
@pytest.mark.parametrize("kind", ["forged", "another place", "not rising", "silent"])
def test_a_replica_that_lies_about_providers_adds_none_and_hides_none(kind: str) -> None:
    other = make_record(make_identity(99), key=5).data

    def says(request: Request, honest: Reply) -> Reply | None:
        if not isinstance(honest, messages.Providers):
            return honest
        records = list(honest.records)
        if kind == "forged":
            records = [record[:-1] + bytes([record[-1] ^ 1]) for record in records]
        elif kind == "another place":
            records = [other]
        elif kind == "not rising":
            records = records[:1]
            return messages.Providers(honest.number, records, True)
        else:
            return None
        return messages.Providers(honest.number, records, honest.more)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        for index in range(9):
            await publish(engine, nodes[index], [make_packet(index, 0)])
        place = placement(make_key(0))
        names = _nearest(nodes, place, 5)
        for node in nodes:
            if node.me.id in names[:4] and node is not nodes[0]:
                node.corrupt(Liar(says))
        provided = await _ask(engine, nodes[0], lambda now: nodes[0].providers(place, now))
        assert isinstance(provided, Provided)
        assert set(provided.records) == {node.me.id for node in nodes[:9]}

    tell_crowd(12, CONFIG, tell)


@pytest.mark.rule("N-36")
def test_a_walk_names_every_key_of_a_domain_and_no_other() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        packets = [make_packet(0, case, key=case) for case in range(60)]
        await publish(engine, nodes[0], packets)
        await engine.quiet(nodes)
        for prefix in {packet.key[0] for packet in packets}:
            walked = await _ask(engine, nodes[5], partial(nodes[5].walk, prefix))
            assert isinstance(walked, Walked)
            assert set(walked.keys) == {p.key for p in packets if p.key[0] == prefix}

    tell_crowd(12, CONFIG, tell)


def test_nothing_is_announced_when_the_configuration_says_so() -> None:
    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        await publish(engine, nodes[0], [make_packet(0, 0)])
        walked = await _ask(engine, nodes[1], lambda now: nodes[1].walk(make_key(0)[0], now))
        assert isinstance(walked, Walked)
        assert not walked.keys

    tell_crowd(6, NodeConfig(k=8, replica_count=5, announces_keys=False), tell)


# --- who may write what --------------------------------------------------------------------------
def test_an_index_record_of_somebody_else_is_refused() -> None:
    node, stranger = make_node(0, config=CONFIG), make_stranger(1)
    stranger.greet(node, 0.0)
    own = sign_index(make_key(0), stranger.identity.key, 60, 1, NETWORK.id)
    other = sign_index(make_key(0), make_identity(2).key, 60, 1, NETWORK.id)

    def ask(record: bytes, now: float = 0.0) -> object:
        return messages.decode(
            stranger.say(node, messages.encode(messages.Announce(7, record)), now)[-1]
        )

    assert ask(own.data) == messages.Stored(7, [""])
    assert ask(other.data) == messages.Refused(7, "record: announced by another than its provider")
    assert ask(own.data[:-1] + b"\0") == messages.Refused(7, "invalid: ProofError")
    assert ask(own.data, now=61.0) == messages.Refused(7, "record: expired")


@pytest.mark.rule("N-23")
def test_a_node_takes_nothing_for_places_that_others_keep() -> None:
    config = NodeConfig(k=8, replica_count=2, replica_slack=1.0)

    async def tell(engine: VirtualEngine, nodes: list[Node]) -> None:
        place = placement(make_key(0))
        order = _nearest(nodes, place, len(nodes))
        by_id = {node.me.id: node for node in nodes}
        record = make_record(make_identity(90)).data
        for rank, identifier in enumerate(order):
            node = by_id[identifier]
            stranger = make_stranger(90)
            request = messages.Store(1, record, [make_packet(0, 0).data])
            reply = messages.decode(stranger.say(node, messages.encode(request), engine.now())[-1])
            wanted = isinstance(reply, messages.Stored)
            assert wanted == (rank < 2), rank
        assert to_bytes(place) in by_id[order[0]]._store.places(b"", 10)

    tell_crowd(10, config, tell)
