"""Whole nodes on the virtual engine: what honest ones achieve, and what liars do not."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from qisguard.config import NodeConfig, ReplicaRule
from qisguard.errors import ScenarioError
from qisguard.identity.ids import NodeId, placement, to_bytes
from qisguard.lab.stranger import Stranger
from qisguard.lab.virtual import VirtualEngine
from qisguard.node import messages
from qisguard.node.contact import Contact
from qisguard.node.messages import Reply, Request
from qisguard.node.node import Node
from qisguard.node.operations import roster_replicas
from qisguard.plugins import Clock
from tests.builders import (
    DAY,
    NETWORK,
    address_of,
    draw,
    find,
    make_crowd,
    make_engine,
    make_identity,
    make_key,
    make_network,
    make_node,
    make_packet,
    make_record,
    make_roster,
    make_stranger,
    publish,
    retrieve,
)

SMALL = NodeConfig(k=8, replica_count=6)
PLACE = placement(make_key(0))
PACKETS = [make_packet(author, case) for author in range(3) for case in range(4)]
Edit = Callable[[Request, Reply], Reply | None]


@dataclass
class Liar:
    """Answer what ``edit`` makes of the honest reply."""

    edit: Edit

    def answer(
        self, node: Node, sender: NodeId, request: Request, honest: Reply, now: float
    ) -> Reply | None:
        """Edit."""
        return self.edit(request, honest)

    def act(self, node: Node, now: float) -> float | None:
        """Do nothing more."""
        return None


def _digests(packets: list[Any]) -> set[bytes]:
    return {packet.digest for packet in packets}


def _run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


# --- honest networks ----------------------------------------------------------------------------
@pytest.mark.parametrize(("seed", "loss_ratio"), [(1, 0.0), (2, 0.2), (3, 0.2)])
def test_what_was_published_is_retrieved_by_everybody(seed: int, loss_ratio: float) -> None:
    async def story() -> None:
        engine = make_engine(seed, loss_ratio=loss_ratio)
        nodes = await make_crowd(engine, 24, SMALL)
        (published,) = await publish(engine, nodes[3], PACKETS)
        assert published.replica_count == SMALL.replica_count
        assert published.acknowledged >= 0.7 * len(PACKETS) * SMALL.replica_count
        for reader in nodes[::5]:
            (found,) = await retrieve(engine, reader, 0)
            assert set(found.packets) == _digests(PACKETS)

    _run(story())


def test_a_joined_node_finds_the_nodes_closest_to_any_id() -> None:
    async def story() -> None:
        engine = make_engine(4)
        nodes = await make_crowd(engine, 40, SMALL)
        for index in range(5):
            target = placement(make_key(index))
            found = await find(engine, nodes[-1], target)
            expected = sorted((node.me for node in nodes), key=lambda c: c.id ^ target)
            assert found == expected[: SMALL.k]

    _run(story())


@pytest.mark.rule("N-12")
def test_disjoint_paths_find_the_same_nodes() -> None:
    async def story() -> None:
        config = NodeConfig(k=8, replica_count=6, disjoint_paths=4)
        engine = make_engine(5)
        nodes = await make_crowd(engine, 24, config)
        await publish(engine, nodes[3], PACKETS)
        (found,) = await retrieve(engine, nodes[-1], 0)
        assert set(found.packets) == _digests(PACKETS)

    _run(story())


@pytest.mark.rule("N-21")
def test_replicas_are_the_closest_ids_of_the_roster_and_few_of_one_issuer() -> None:
    async def story() -> None:
        members = [make_identity(index) for index in range(12)]
        roster = make_roster(members, per_issuer=4)
        config = NodeConfig(
            k=8, replica_count=4, replica_rule=ReplicaRule.ROSTER, replicas_per_issuer=2
        )
        engine = make_engine(6)
        nodes = await make_crowd(engine, 30, config, roster=roster)
        await publish(engine, nodes[20], PACKETS)
        chosen = roster_replicas(roster, PLACE, 4, 2)
        holders = {node.me.id for node in nodes if node._store.page(PLACE, b"", 1, DAY)}
        assert holders == set(chosen)
        issuers = [roster.by_node[identifier].name for identifier in chosen]
        assert max(map(issuers.count, issuers)) <= 2
        (found,) = await retrieve(engine, nodes[25], 0)
        assert set(found.packets) == _digests(PACKETS)

    _run(story())


def test_a_higher_sequence_number_replaces_and_pages_hold_everything() -> None:
    async def story() -> None:
        config = NodeConfig(k=4, replica_count=3, listing_max=4)
        engine = make_engine(7)
        nodes = await make_crowd(engine, 8, config)
        await publish(engine, nodes[0], PACKETS)
        newer = [make_packet(0, case, seq=2) for case in range(4)]
        await publish(engine, nodes[0], newer)
        (found,) = await retrieve(engine, nodes[7], 0)
        assert set(found.packets) == _digests(PACKETS[4:]) | _digests(newer)

    _run(story())


def test_a_node_whose_peers_have_all_gone_ends_its_operations() -> None:
    async def story() -> None:
        engine = make_engine(8)
        nodes = await make_crowd(engine, 6, SMALL)
        for node in nodes[1:]:
            engine.stop(node)
        for _ in range(2):  # a single silence may be the network's fault
            (found,) = await retrieve(engine, nodes[0], 0)
            assert found.packets == {}
        assert not nodes[0].is_busy
        assert len(nodes[0].table) == 0

    _run(story())


# --- lying replicas -----------------------------------------------------------------------------
def _garbage(request: Request, honest: Reply) -> Reply | None:
    if isinstance(honest, messages.Packets):
        return messages.Packets(honest.number, [b"x" * 100, *honest.packets[:1]])
    if isinstance(honest, messages.Listing):
        return messages.Listing(honest.number, honest.entries[::-1], True)
    return honest


def _hide(request: Request, honest: Reply) -> Reply | None:
    if isinstance(honest, messages.Packets):
        return messages.Packets(honest.number, [])
    if isinstance(honest, messages.Listing):
        return messages.Listing(honest.number, [], False)
    return honest


def _list_without_end(request: Request, honest: Reply) -> Reply | None:
    if isinstance(request, messages.ListPackets):
        start = int.from_bytes(request.after or b"\0", "big")
        return messages.Listing(
            honest.number, [((start + 1 + n).to_bytes(32, "big"), DAY) for n in range(28)], True
        )
    return _hide(request, honest)


def _withhold(request: Request, honest: Reply) -> Reply | None:
    return None if isinstance(request, messages.FetchPackets) else honest


def _mute(request: Request, honest: Reply) -> Reply | None:
    return None if isinstance(request, messages.ListPackets | messages.FetchPackets) else honest


def _foreign(request: Request, honest: Reply) -> Reply | None:
    """List and deliver a packet of another network, and one of another key."""
    wrong = [make_packet(7, network=make_network(name="other")), make_packet(7, key=1)]
    if isinstance(honest, messages.Listing):
        digests = sorted(packet.digest for packet in wrong)
        return messages.Listing(honest.number, [(digest, DAY) for digest in digests], False)
    if isinstance(honest, messages.Packets):
        return messages.Packets(honest.number, [packet.data for packet in wrong])
    return honest


@pytest.mark.rule("N-32")
@pytest.mark.parametrize("edit", [_garbage, _hide, _list_without_end, _withhold, _mute, _foreign])
def test_liars_hide_and_add_nothing_while_one_replica_is_honest(edit: Edit) -> None:
    async def story() -> None:
        config = NodeConfig(k=6, replica_count=5, listing_max=1, packets_per_key_max=300)
        engine = make_engine(9)
        nodes = await make_crowd(engine, 10, config)
        await publish(engine, nodes[0], PACKETS)
        closest = sorted(range(10), key=lambda index: nodes[index].me.id ^ PLACE)
        honest, liars = closest[0], closest[1:5]
        reader = nodes[closest[-1]]
        for index in liars:
            nodes[index].corrupt(Liar(edit))
        (found,) = await retrieve(engine, reader, 0)
        assert set(found.packets) == _digests(PACKETS)
        assert nodes[honest].behaviour is None

    _run(story())


def _too_many_yes(request: Request, honest: Reply) -> Reply | None:
    if isinstance(honest, messages.Stored):
        return messages.Stored(honest.number, [""] * 4)
    return honest


def test_a_replica_cannot_acknowledge_more_than_it_was_sent() -> None:
    async def story() -> None:
        engine = make_engine(10)
        nodes = await make_crowd(engine, 4, NodeConfig(k=4, replica_count=4))
        for node in nodes[1:]:
            node.corrupt(Liar(_too_many_yes))
        (published,) = await publish(engine, nodes[0], PACKETS[:1])
        assert published.acknowledged == 1, "our own copy"
        assert published.refused == {"miscounted reply": 3}

    _run(story())


def _slander(victims: list[Contact]) -> Edit:
    def edit(request: Request, honest: Reply) -> Reply | None:
        if isinstance(honest, messages.Nodes):
            false = [(to_bytes(c.id), bytes([192, 0, 2, 66]), 666) for c in victims]
            return messages.Nodes(honest.number, false[:20])
        return honest

    return edit


@pytest.mark.rule("N-01")
def test_false_addresses_for_honest_nodes_do_not_remove_them_from_the_table() -> None:
    async def story() -> None:
        engine = make_engine(11)
        nodes = await make_crowd(engine, 12, SMALL)
        asker = nodes[0]
        before = set(asker.table)
        nodes[1].corrupt(Liar(_slander([node.me for node in nodes[2:]])))
        for peer in nodes[2:]:
            if session := asker.sessions.get(peer.me.id):
                asker.sessions.close(session)
        near = [nodes[1].me]
        asker._outlook._near = lambda target: near  # type: ignore[method-assign]
        await find(engine, asker, PLACE)
        assert set(asker.table) == before

    _run(story())


# --- what a node refuses ------------------------------------------------------------------------
def _met(config: NodeConfig = SMALL) -> tuple[Node, Stranger]:
    node = make_node(0, config=config)
    stranger = make_stranger(1)
    stranger.greet(node, 0.0)
    return node, stranger


def _ask(node: Node, stranger: Stranger, request: Request, now: float = 0.0) -> Reply | None:
    heard = stranger.say(node, messages.encode(request), now)
    if not heard:
        return None
    reply = messages.decode(heard[-1])
    assert not isinstance(reply, Request)
    return reply


def test_each_request_is_answered_with_its_number() -> None:
    node, stranger = _met()
    data = make_record(stranger.identity).data
    requests: list[Request] = [
        messages.Ping(7),
        messages.FindNode(7, bytes(32)),
        messages.Store(7, data, [PACKETS[0].data]),
        messages.ListPackets(7, to_bytes(PLACE), b""),
        messages.FetchPackets(7, to_bytes(PLACE), [PACKETS[0].digest]),
    ]
    replies = [_ask(node, stranger, request) for request in requests]
    assert replies == [
        messages.Pong(7),
        messages.Nodes(7, []),
        messages.Stored(7, [""]),
        messages.Listing(7, [(PACKETS[0].digest, DAY)], False),
        messages.Packets(7, [PACKETS[0].data]),
    ]


@pytest.mark.rule("N-29")
@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "invalid: DecodeError"),
        (b"\xc0" * 100, "invalid: DecodeError"),
        (make_record(make_identity(2)).data, "record: announced by another than its provider"),
        (make_record(make_identity(1)).data[:-1] + b"\x00", "invalid: ProofError"),
        (make_record(make_identity(1), expires=10**9).data, "record: expires too late"),
    ],
)
def test_records_that_do_not_hold_are_refused_with_a_reason(record: bytes, reason: str) -> None:
    node, stranger = _met()
    assert _ask(node, stranger, messages.Store(1, record, [])) == messages.Refused(1, reason)


def test_an_older_record_is_refused() -> None:
    node, stranger = _met()
    for seq, expected in ((2, messages.Stored(1, [])), (1, messages.Refused(1, "older record"))):
        record = make_record(stranger.identity, seq=seq)
        assert _ask(node, stranger, messages.Store(1, record.data, [])) == expected


@pytest.mark.rule("N-29")
def test_packets_that_come_with_an_older_record_are_taken() -> None:
    """A replica that hands over while it publishes has a newer record there already."""
    node, stranger = _met()
    newer, older = (make_record(stranger.identity, seq=seq).data for seq in (2, 1))
    assert _ask(node, stranger, messages.Store(1, newer, [])) == messages.Stored(1, [])
    late = messages.Store(2, older, [make_packet(0, 0).data])
    assert _ask(node, stranger, late) == messages.Stored(2, [""])
    place = placement(make_key(0))
    assert node._store.records(place, b"", 9, 0) == [newer]


@pytest.mark.rule("N-27")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "invalid packet: DecodeError"),
        (b"\xff" * 200, "invalid packet: DecodeError"),
        (PACKETS[0].data[:-1] + b"\x00", "invalid packet: ProofError"),
        (make_packet(exp=DAY - 1).data, "expired"),
        (make_packet(key=1).data, "another key than the record's"),
        (make_packet(network=make_network(name="other")).data, "another network"),
    ],
)
def test_packets_that_do_not_hold_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    node, stranger = _met()
    record = make_record(stranger.identity).data
    assert _ask(node, stranger, messages.Store(1, record, [data])) == messages.Stored(1, [reason])
    assert node._server.taken == []


def test_equivocation_and_old_sequence_numbers_are_refused() -> None:
    node, stranger = _met()
    record = make_record(stranger.identity).data
    for packet, reason in [
        (make_packet(seq=5), ""),
        (make_packet(seq=5), ""),
        (make_packet(seq=5, time=101), "equivocation"),
        (make_packet(seq=4), "older sequence"),
        (make_packet(seq=2_000), "sequence jump"),
    ]:
        reply = _ask(node, stranger, messages.Store(1, record, [packet.data]))
        assert reply == messages.Stored(1, [reason])


def test_a_packet_is_taken_into_the_trail_once_however_often_it_is_stored() -> None:
    node, stranger = _met()
    record = make_record(stranger.identity).data
    taken: list[tuple[str, bytes]] = []
    for _ in range(3):
        node.receive_datagram(
            stranger.sessions.seal(
                stranger.greet(node, 0.0),
                messages.encode(messages.Store(1, record, [PACKETS[0].data])),
            ),
            stranger.address,
            0.0,
        )
        taken += node._server.taken
        node.flush()
        node.effects()
    assert [digest for _, digest in taken] == [PACKETS[0].digest]


def test_what_is_counted_does_not_depend_on_the_peers_words() -> None:
    node, stranger = _met()
    record = make_record(stranger.identity).data
    before = len(node.counts)
    for index in range(50):
        text = f'{{"v":1,"k{index}":1}}'.encode() + bytes(64)
        _ask(node, stranger, messages.Store(index, record, [text]))
        _ask(node, stranger, messages.Store(index, b"\x95" + text[:60], []))
    assert len(node.counts) <= before + 4


@pytest.mark.rule("N-19")
def test_an_identity_has_a_request_budget() -> None:
    node, stranger = _met(NodeConfig(requests_per_second=5))
    answers = [_ask(node, stranger, messages.Ping(index)) for index in range(8)]
    assert answers[:5] == [messages.Pong(index) for index in range(5)]
    assert answers[5:] == [messages.Refused(index, messages.BUSY) for index in range(5, 8)]
    assert node.counts["busy: request budget"] == 3
    assert _ask(node, stranger, messages.Ping(9), now=1.0) == messages.Pong(9)
    other = make_stranger(2)
    assert _ask(node, other, messages.Ping(1)) == messages.Pong(1)


def test_replies_nobody_asked_for_change_nothing() -> None:
    node, stranger = _met()
    contacts = [(bytes([n]) * 32, bytes(4), 1) for n in range(20)]
    for number in range(5):
        stranger.say(node, messages.encode(messages.Nodes(number, contacts)), 0.0)
    assert node.counts["dropped: reply nobody asked for"] == 5
    assert len(node.table) == 1


@pytest.mark.rule("N-14")
@pytest.mark.parametrize(
    "contacts",
    [
        [(to_bytes(make_identity(0).id), b"\x0a\x09\x00\x00", 4_000)] * 20,
        [(to_bytes(make_identity(1).id), b"\x00" * 4, 1)] * 20,
        [(bytes(32), b"\xff" * 4, 65_535), (b"\xff" * 32, b"\xff" * 16, 1)],
        [(bytes(32), b"\x01" * 5, 9), (bytes(31) + b"\x01", b"\x01" * 15, 9)],
        [(bytes([n]) * 32, bytes([10, 9, 0, n]), 4_000) for n in range(20)],
    ],
)
def test_no_contacts_that_a_peer_names_keep_a_look_up_from_ending(
    contacts: list[tuple[bytes, bytes, int]],
) -> None:
    node, stranger = _met()
    assert _ask(node, stranger, messages.Ping(1)) == messages.Pong(1)
    node.join([Contact(stranger.identity.id, stranger.address)], 0.0)
    stranger.deliver(node, 0.0)
    request = messages.decode(stranger.heard[-1])
    assert isinstance(request, messages.FindNode)
    stranger.say(node, messages.encode(messages.Nodes(request.number, contacts)), 0.0)
    now = 0.0
    while node.is_busy:
        now = node.next_timer() or now
        assert now < 120.0
        node.handle_timer(now)
        node.effects()
    assert not len(node._requests)
    assert node.sessions.next_timer() is None


def test_nothing_is_left_of_requests_that_could_not_be_sent() -> None:
    node = make_node(0, config=NodeConfig(handshakes_open_max=1, k=8, knock_interval=1e6))
    far = [Contact(make_identity(index).id, address_of(index)) for index in range(1, 9)]
    node.join(far, 0.0)
    while node.is_busy:
        node.handle_timer(node.next_timer() or 0.0)
    assert not node._requests._lines
    assert node.counts["requests refused here"] > 0


@pytest.mark.parametrize(
    "field",
    [
        {"k": 0},
        {"k": 21},
        {"alpha": 0},
        {"request_timeout": 0.0},
        {"handshake_timeout": -1.0},
        {"listing_max": 29},
        {"handshake_tries": 0},
        {"sessions_max": 0},
    ],
)
def test_a_configuration_under_which_nothing_would_end_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError):
        NodeConfig(**field)


def test_results_of_other_nodes_are_kept_while_one_waits_for_quiet() -> None:
    async def story() -> None:
        engine: VirtualEngine = make_engine(12)
        nodes = await make_crowd(engine, 6, SMALL)
        handles = engine.act(nodes[0], lambda now: nodes[0].retrieve([make_key(0)], now))
        engine.act(nodes[1], lambda now: nodes[1].retrieve([make_key(i) for i in range(9)], now))
        await engine.quiet([nodes[1]])
        assert len(await engine.finish(handles)) == 1

    _run(story())


def test_an_identity_in_another_network_opens_no_session() -> None:
    node = make_node(0)
    other = make_network(name="other")
    stranger = Stranger(
        make_identity(5, other), other, address_of(5), clock=node.clock, draw=draw("other")
    )
    with pytest.raises(ScenarioError):
        stranger.greet(node, 0.0)
    assert NETWORK.id != other.id


def test_an_identity_whose_descriptor_expired_opens_no_session() -> None:
    node = make_node(0, clock=Clock(first_day=DAY + 366))
    with pytest.raises(ScenarioError):
        make_stranger(1).greet(node, 0.0)
    assert node.counts["dropped: IdentityError"] >= 1
